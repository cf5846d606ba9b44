-- Append an entry to one part of the audit stream, and forget what is too old or too much.
-- KEYS: the stream.
-- ARGV: its longest length, the oldest id to keep, milliseconds to keep an idle stream, then fields and values.
-- Returns the entry's id.
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 4))
redis.call('XTRIM', KEYS[1], 'MINID', '~', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return id
