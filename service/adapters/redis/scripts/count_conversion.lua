-- Count one more in a bucket of time, and forget the buckets that are over.
-- KEYS: the buckets, a hash of 's:START' (started) and 'c:START' (called) to counts.
-- ARGV: the field, the first bucket to keep, milliseconds to keep the hash, how many fields may pile up first.
-- Returns the new count.
local count = redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
-- The hash is kept for two windows and a bucket, so a bucket that has begun before needs no more time.
if count > 1 then return count end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[4]) then
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if (tonumber(string.sub(field, 3)) or 0) < tonumber(ARGV[2]) then redis.call('HDEL', KEYS[1], field) end
  end
end
return count
