-- wrk script: the same request again and again, as wrk's own options say; if tokens are given, signed in by each in turn.
-- `done` prints one line of JSON: times in seconds; bytes with those of the headers.

local requests = {}
local asked = 0

function init(tokens)
  for number, token in ipairs(tokens) do
    wrk.headers["Authorization"] = "Bearer " .. token
    requests[number] = wrk.format()
  end
  requests[1] = requests[1] or wrk.format()
end

function request()
  asked = asked % #requests + 1
  return requests[asked]
end

function done(summary, latency)
  local broken = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format(
    '\n{"answers": %d, "refused": %d, "broken": %d, "bytes": %d, "seconds": %.6f, "p50": %.6f, "p99": %.6f}\n',
    summary.requests, summary.errors.status, broken, summary.bytes, summary.duration / 1e6,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
