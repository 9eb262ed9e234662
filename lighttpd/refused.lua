-- Run for the path of server.error-handler (server.conf). A client that asks for this path itself has
-- no REDIRECT_STATUS, and is answered 404 like any path that belongs to nobody.
local request = lighty.r
local status = request.req_env["REDIRECT_STATUS"]

if status then
    local method = string.match(request.req_attr["uri.path"], "^/refused/(%u+)$")
    request.req_env["REDIRECT_REQUEST_METHOD"] = method
    -- lighttpd says 411 to a POST that names no length. It has no body then (RFC 9112 section 6.3), so
    -- the request begins anew at its own path; the program knows a 411 for a POST without a body.
    if status == "411" then
        request.req_env["REDIRECT_REQUEST_METHOD"] = "POST"
        request.req_attr["request.uri"] = request.req_attr["request.orig-uri"]
        return lighty.RESTART_REQUEST
    end
end
return 0
