-- wrk script: the same request again and again, as wrk's own options say. `done` prints one line of JSON: times in
-- seconds; bytes with those of the headers.

function done(summary, latency)
  local broken = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format(
    '\n{"answers": %d, "refused": %d, "broken": %d, "bytes": %d, "seconds": %.6f, "p50": %.6f, "p99": %.6f}\n',
    summary.requests, summary.errors.status, broken, summary.bytes, summary.duration / 1e6,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
