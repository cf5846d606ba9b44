-- Count one act within several sliding periods, or, where an enforced limit is full, in none. Exact: every use is
-- remembered by its time; a token that is counted already counts once.
-- KEYS: the uses of each limit, sorted sets of tokens by milliseconds.
-- ARGV: now, the token; then for each: the instant at which its period began, its length, the limit, '1' if enforced.
-- Returns for each up to the one that refuses: 1 when counted else 0, how many count now, the oldest's instant.
local used, full, refusing, states = {}, {}, nil, {}
for each = 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[each], '-inf', ARGV[4 * each - 1])
  used[each] = redis.call('ZCARD', KEYS[each])
  full[each] = used[each] >= tonumber(ARGV[4 * each + 1]) and not redis.call('ZSCORE', KEYS[each], ARGV[2])
  refusing = full[each] and ARGV[4 * each + 2] == '1' and each or nil
  if refusing then break end
end
for each = 1, refusing or #KEYS do
  if not refusing and not full[each] then
    used[each] = used[each] + redis.call('ZADD', KEYS[each], 'NX', ARGV[1], ARGV[2])
    redis.call('PEXPIRE', KEYS[each], ARGV[4 * each])
  end
  local oldest = redis.call('ZRANGE', KEYS[each], 0, 0, 'WITHSCORES')[2] or ''
  states[each] = {full[each] and 0 or 1, used[each], oldest}
end
return states
