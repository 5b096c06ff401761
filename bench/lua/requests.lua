-- Send the requests of a file in turn, and print the results at the end as one line of JSON.
-- The file has complete HTTP requests, each followed by a NUL. With "refresh" as the second argument,
-- each response adds a request with its new refresh token.

local requests, turn, last, refreshing = {}, 0, 0, false

local function add(one)
   last = last + 1
   requests[last] = one
end

function init(args)
   local file = assert(io.open(args[1], "rb"))
   for one in file:read("*a"):gmatch("([^%z]+)%z") do add(one) end
   file:close()
   if args[2] == "refresh" then refreshing = true else response = nil end
end

function request()
   if turn < last then turn = turn + 1 elseif not refreshing then turn = 1 end
   local one = requests[turn]
   if refreshing and turn < last then requests[turn] = nil end
   return one
end

function response(status, headers, body)
   local token = body:match('"refresh_token":%s*"([^"]+)"')
   if not token then return end
   local content = '{"refresh_token":"' .. token .. '"}'
   add("POST /api/v1/auth/refresh HTTP/1.1\r\nHost: bench\r\n"
      .. "Content-Type: application/json\r\nContent-Length: " .. #content .. "\r\n\r\n" .. content)
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      'RESULT {"microseconds":%d,"requests":%d,"p50":%d,"p99":%d,"refused":%d,"lost":%d}\n',
      summary.duration, summary.requests, latency:percentile(50), latency:percentile(99),
      errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
