-- Append an entry to one part of the audit stream, remove entries that are too old or too many, and store the deliveries of
-- an event unless it was announced before. Without an entry, only store the deliveries.
-- KEYS: the audit stream, the deliveries, the mark of the announced event.
-- ARGV: longest length of the audit stream (empty: do not trim it now), oldest id to keep in it, milliseconds to keep the
--       idle stream; number of deliveries, milliseconds to keep the idle deliveries, their longest length, milliseconds to
--       keep the mark; each delivery; then fields and values of the entry.
-- Returns 1, which means nothing.
local fields = 8 + tonumber(ARGV[4])
if #ARGV >= fields then
  redis.call('XADD', KEYS[1], 'MINID', '~', ARGV[2], '*', unpack(ARGV, fields))
  if ARGV[1] ~= '' then redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[1]) end
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
if fields > 8 and redis.call('SET', KEYS[3], '1', 'NX', 'PX', ARGV[7]) then
  for each = 8, fields - 1 do redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], '*', 'd', ARGV[each]) end
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
end
return 1
