-- Count one act against several limits with sliding periods; if an enforced limit is full, count it against none. Every use
-- is stored with its time, so the count is exact. A token that is counted already counts once.
-- KEYS: the uses of each limit, sorted sets of tokens by time.
-- ARGV: the time now, the token; then for each limit the start of its period, the period's length, the highest count, and
--       '1' if it is enforced. Times are in milliseconds since 1970, lengths in milliseconds.
-- Returns for each limit, up to the one that refuses: 1 if it had room for the act or has counted it already, else 0; the
-- count now; the time of the oldest use; and the number of uses that filled the limit but were removed, because their time
-- is over 31 days in the future, which no clock can be.
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
