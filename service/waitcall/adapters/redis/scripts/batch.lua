-- Run several of our scripts as one. The others run only if the first one changed something in this run.
-- KEYS: the keys of each script, one script after the other.
-- ARGV: number of scripts; for each its name, its number of keys and its number of arguments; then the arguments of each.
-- Returns the answer of each script that ran. If one after the first fails, its answer is the error as text, and the
-- others are not undone.
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
