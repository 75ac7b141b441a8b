-- wrk -s bench/serve.lua ADDRESS -- PICTURE...: POSTs the pictures one after the other; the server's faults are counted.
local bodies, at, faults = {}, 0, 0

function init(files)
  for _, name in ipairs(files) do
    local file = assert(io.open(name, "rb"))
    bodies[#bodies + 1] = file:read("a")
    file:close()
  end
  wrk.method, wrk.path = "POST", "/predict"
end

function request()
  at = at % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[at])
end

function done(summary)
  local errors = summary.errors
  io.write(string.format("faults: %d of %d\n", errors.connect + errors.read + errors.write + errors.status + errors.timeout,
                         summary.requests))
end
