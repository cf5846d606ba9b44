-- Give a dead letter back to be delivered.
-- KEYS: the dead letters, the deliveries. ARGV: its name, the delivery to put in its place, milliseconds to keep.
-- Returns 1, or 0 where there is no such letter.
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('XADD', KEYS[2], '*', 'd', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
