-- Count one more within a sliding period, if the limit allows it. Exact: every use is remembered by its time.
-- KEYS: the uses, a sorted set of tokens by milliseconds.
-- ARGV: now, the instant at which the period began, its length, the limit, the token (times in milliseconds).
-- Returns 1 when counted (also when this token is counted already) else 0, how many count now, the oldest's instant.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2])
local counted = 1
if not redis.call('ZSCORE', KEYS[1], ARGV[5]) then
  if redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[4]) then
    redis.call('ZADD', KEYS[1], ARGV[1], ARGV[5])
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
  else
    counted = 0
  end
end
return {counted, redis.call('ZCARD', KEYS[1]), redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]}
