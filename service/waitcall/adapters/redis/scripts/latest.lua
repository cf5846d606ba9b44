-- Read a number's latest verification in one step.
-- KEYS: the number's pointer to its latest record.
-- ARGV: beginning of the keys of its tag's records, length of the part of an id that is not in the record's key.
-- Returns the id and the document. Both are empty if there is no pointer; only the document is if the record is lost.
local id = redis.call('GET', KEYS[1])
if not id then return {'', ''} end
return {id, redis.call('GET', ARGV[1] .. string.sub(id, tonumber(ARGV[2]) + 1)) or ''}
