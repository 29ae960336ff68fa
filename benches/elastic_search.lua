-- wrk's requests to a real server: searches of one term each, of which half ask for a phrase's words too.
local words = { "paid", "open", "sent", "back", "lost", "kept" }
local at = 0
local function body(n)
  local state = words[n % #words + 1]
  if n % 2 == 0 then
    return '{"size":5,"query":{"term":{"state":"' .. state .. '"}}}'
  end
  return '{"size":5,"query":{"bool":{"filter":[{"term":{"state":"' .. state .. '"}}],"must":[{"match":{"text":"order number ' .. n % 1000 .. '"}}]}}}'
end
request = function()
  at = at + 1
  return wrk.format("POST", "/orders/_search", { ["Content-Type"] = "application/json" }, body(at))
end
