-- Sends the requests of a file in turn, and tells at the end what came of them as one line of JSON.
-- The file has whole HTTP requests, with a NUL after each. With "refresh" as the second argument the
-- answer's refresh token takes the place of the one that was used.

local requests, turn, refreshing = {}, 0, false

function init(args)
   local file = assert(io.open(args[1], "rb"))
   for one in file:read("*a"):gmatch("([^%z]+)%z") do requests[#requests + 1] = one end
   file:close()
   if args[2] == "refresh" then refreshing = true else response = nil end
end

function request()
   if refreshing then
      if #requests > 1 then return table.remove(requests, 1) end
      return requests[1]
   end
   turn = turn % #requests + 1
   return requests[turn]
end

function response(status, headers, body)
   local token = body:match('"refresh_token":%s*"([^"]+)"')
   if not token then return end
   local content = '{"refresh_token":"' .. token .. '"}'
   requests[#requests + 1] = "POST /api/v1/auth/refresh HTTP/1.1\r\nHost: bench\r\n"
      .. "Content-Type: application/json\r\nContent-Length: " .. #content .. "\r\n\r\n" .. content
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      'RESULT {"microseconds":%d,"requests":%d,"p50":%d,"p99":%d,"refused":%d,"lost":%d}\n',
      summary.duration, summary.requests, latency:percentile(50), latency:percentile(99),
      errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
