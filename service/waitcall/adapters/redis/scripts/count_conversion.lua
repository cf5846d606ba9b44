-- Count one verification in a bucket of time, and remove old buckets if there are many.
-- KEYS: the buckets, a hash with fields 's:START' (started) and 'c:START' (called).
-- ARGV: the field, start of the first bucket to keep, milliseconds to keep the hash, number of fields above which old ones
--       are removed.
-- Returns the new count.
local count = redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
-- The hash is kept for two windows and a bucket, so only the first count of a bucket must extend its time.
if count > 1 then return count end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[4]) then
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if (tonumber(string.sub(field, 3)) or 0) < tonumber(ARGV[2]) then redis.call('HDEL', KEYS[1], field) end
  end
end
return count
