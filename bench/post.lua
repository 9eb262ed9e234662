-- wrk: POST a fixed body. BODY_FILE and HEADERS ("Name: value" lines) come from the environment.
local file = assert(io.open(os.getenv("BODY_FILE"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()
wrk.headers["Content-Type"] = "application/json"
for name, value in string.gmatch(os.getenv("HEADERS") or "", "([^:\n]+): ([^\n]*)") do
    wrk.headers[name] = value
end
