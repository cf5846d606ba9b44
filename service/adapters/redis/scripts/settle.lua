-- Take a delivery out of the stream, and keep it for later, or as a dead letter, where it did not arrive.
-- KEYS: the deliveries, those to be retried, the dead letters.
-- ARGV: the group, the entry's id, milliseconds to keep, the delivery (empty: it arrived), the instant to try again
--       in milliseconds (empty: never), its name among the dead letters, how many of those to keep.
-- Returns 1, or 0 where somebody else has settled it.
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if redis.call('XDEL', KEYS[1], ARGV[2]) == 0 then return 0 end
if ARGV[4] == '' then return 1 end
if ARGV[5] ~= '' then
  redis.call('ZADD', KEYS[2], ARGV[5], ARGV[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
elseif redis.call('HLEN', KEYS[3]) < tonumber(ARGV[7]) then
  redis.call('HSET', KEYS[3], ARGV[6], ARGV[4])
  redis.call('PEXPIRE', KEYS[3], ARGV[3])
end
return 1
