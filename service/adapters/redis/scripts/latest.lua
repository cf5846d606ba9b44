-- The number's latest verification, in one step.
-- KEYS: the number's latest. ARGV: where the records of its tag begin; how much of an id is not the record's name.
-- Returns the id and the document, both empty where there is none; the document alone where it is lost.
local id = redis.call('GET', KEYS[1])
if not id then return {'', ''} end
return {id, redis.call('GET', ARGV[1] .. string.sub(id, tonumber(ARGV[2]) + 1)) or ''}
