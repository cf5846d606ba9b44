-- Remember a text that looks like a call. A hundred of one number are told apart; one is enough to refuse its records.
-- KEYS: the number's texts. ARGV: hash of the text, milliseconds to keep them.
-- Returns 1.
if redis.call('SCARD', KEYS[1]) < 100 then redis.call('SADD', KEYS[1], ARGV[1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
