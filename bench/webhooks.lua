-- wrk script: every request is another webhook. Run it with one thread (see load.py), since each
-- thread would count from 1 on its own.
--
-- Arguments: template file, id prefix, number of jobs, timestamp of webhook 0 in seconds and microseconds,
-- microseconds from one webhook to the next, host, path. The webhooks, from 1 on, go to the jobs in turn.
-- `done` prints one line of JSON: times in seconds.

local parts, prefix, jobs, second, micro, step, head
local day, day_of
local threads = {}

-- Global, so that `done` can read it from the thread. wrk calls `request` once before it sends anything.
sent = -1

local function job_id(number)
  return string.format("%s%05d", prefix, number)
end

local function timestamp()
  if day_of ~= second then
    day, day_of = os.date("!%Y-%m-%dT%H:%M:%S", second), second
  end
  return string.format("%s.%06dZ", day, micro)
end

-- Splits a template into literal text at odd places and "job" or "at" at even ones.
local function split(template)
  local pieces, from = {}, 1
  for start, name, stop in template:gmatch("(){(%l+)}()") do
    if name == "job" or name == "at" then
      pieces[#pieces + 1] = template:sub(from, start - 1)
      pieces[#pieces + 1] = name
      from = stop
    end
  end
  pieces[#pieces + 1] = template:sub(from)
  return pieces
end

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  parts = split(file:read("*a"))
  file:close()
  prefix, jobs = args[2], tonumber(args[3])
  second, micro, step = tonumber(args[4]), tonumber(args[5]), tonumber(args[6])
  head = string.format(
    "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: ", args[8], args[7])
end

function request()
  sent = sent + 1
  local job = job_id(math.max(sent - 1, 0) % jobs + 1)
  if sent > 0 then
    micro = micro + step
  end
  if micro >= 1000000 then
    second, micro = second + 1, micro - 1000000
  end
  local at = timestamp()
  local pieces = {}
  for i = 1, #parts do
    pieces[i] = parts[i]
    if i % 2 == 0 then
      pieces[i] = parts[i] == "job" and job or at
    end
  end
  local body = table.concat(pieces)
  return head .. #body .. "\r\n\r\n" .. body
end

function done(summary, latency)
  local broken = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format(
    '\n{"sent": %d, "answers": %d, "refused": %d, "broken": %d, "seconds": %.6f, "p50": %.6f, "p99": %.6f}\n',
    threads[1]:get("sent"), summary.requests, summary.errors.status, broken, summary.duration / 1e6,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
