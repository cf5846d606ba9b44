-- Several of our scripts as one: the others only if the first did something, and did it now.
-- KEYS: of each script, one after the other.
-- ARGV: how many scripts; for each its name, how many keys and how many arguments; then the arguments of each.
-- Returns the answer of each that ran. A later one that fails undoes nothing: its answer is the error, as text.
local answers, key, argument = {}, 0, 1 + 3 * tonumber(ARGV[1])
for step = 1, tonumber(ARGV[1]) do
  local name, keys, arguments = ARGV[3 * step - 1], {}, {}
  for each = 1, tonumber(ARGV[3 * step]) do keys[each] = KEYS[key + each] end
  for each = 1, tonumber(ARGV[3 * step + 1]) do arguments[each] = ARGV[argument + each] end
  key, argument = key + #keys, argument + #arguments
  if step == 1 then
    answers[1] = scripts[name](keys, arguments)
    if answers[1] ~= 1 and answers[1] ~= 'done' then return answers end
  else
    local went, answer = pcall(scripts[name], keys, arguments)
    answers[step] = went and answer or 'ERR ' .. tostring(type(answer) == 'table' and answer.err or answer)
  end
end
return answers
