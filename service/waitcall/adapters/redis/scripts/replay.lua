-- Move a dead letter back to the deliveries.
-- KEYS: the dead letters, the deliveries.
-- ARGV: name of the letter, the delivery that replaces it, milliseconds to keep the idle deliveries.
-- Returns 1, or 0 if there is no such letter.
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('XADD', KEYS[2], '*', 'd', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
