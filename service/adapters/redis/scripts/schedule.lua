-- Remember an instant for a member of a sorted set, and keep the set a while longer.
-- KEYS: the set. ARGV: the instant, the member, milliseconds to keep the set.
-- Returns nothing of interest.
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
