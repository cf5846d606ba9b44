-- Count one act within several sliding periods, or, where an enforced limit is full, in none. Exact: every use is
-- remembered by its time; a token that is counted already counts once.
-- KEYS: the uses of each limit, sorted sets of tokens by milliseconds.
-- ARGV: now, the token; then for each: the instant at which its period began, its length, the limit, '1' if enforced.
-- Returns for each up to the one that refuses: 1 when counted else 0, how many count now, the oldest's instant, and how
-- many filled it and were taken out because they lie further ahead (31 days) than any clock.
local used, full, refusing, states, ahead = {}, {}, nil, {}, {}
for each = 1, #KEYS do
  local most, known = tonumber(ARGV[4 * each + 1]), redis.call('ZCARD', KEYS[each])
  used[each] = known > 0 and known - redis.call('ZREMRANGEBYSCORE', KEYS[each], '-inf', ARGV[4 * each - 1]) or 0
  if used[each] >= most and not redis.call('ZSCORE', KEYS[each], ARGV[2]) then
    ahead[each] = redis.call('ZREMRANGEBYSCORE', KEYS[each], ARGV[1] + 2678400000, '+inf')
    used[each], full[each] = used[each] - ahead[each], used[each] - ahead[each] >= most
  end
  if full[each] and ARGV[4 * each + 2] == '1' then refusing = each break end
end
for each = 1, refusing or #KEYS do
  local counts, first = not refusing and not full[each], used[each] == 0
  if counts then
    used[each] = used[each] + redis.call('ZADD', KEYS[each], 'NX', ARGV[1], ARGV[2])
    redis.call('PEXPIRE', KEYS[each], ARGV[4 * each])
  end
  local oldest = counts and first and ARGV[1] or redis.call('ZRANGE', KEYS[each], 0, 0, 'WITHSCORES')[2]
  states[each] = {full[each] and 0 or 1, used[each], oldest or '', ahead[each] or 0}
end
return states
