-- Append an entry to one part of the audit stream, forget what is too old, now and then also what is too much, and announce
-- an event that was not announced yet. Without an entry: announce alone.
-- KEYS: the audit stream, the deliveries, the mark of the announced event.
-- ARGV: longest length of the audit stream (empty: not now), its oldest id to keep, milliseconds to keep it idle; how many deliveries,
--       milliseconds to keep them, their longest length, milliseconds to keep the mark; each delivery; then fields and
--       values of the entry.
-- Returns nothing of interest.
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
