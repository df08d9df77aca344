-- One step on the store: all of it happens, or none.
--
-- KEYS[1]  meta: the store's identity and counters
-- ARGV[1]  the store id that the caller knows: this store's, or that of one in
--          whose place an operator put it (a field 'alias:<id>' of meta)
-- ARGV[2]  an epoch to begin if one has to begin: 128 random bits of the
--          caller's (a script's own randomness repeats after a server start)
-- ARGV[3]  the greatest revision that the caller has seen
-- ARGV[4]  a field of meta that guards the step, or '' for none
-- ARGV[5]  what that field must hold
-- ARGV[6]  milliseconds since 1970: the step must be taken before; '' for no bound
-- then for each command: the number of its words, and its words
--
-- Returns {word, epoch, revision, milliseconds, replies}; the word says whether
-- the commands ran: done, moved (the guard holds another value), late, or, with
-- the store's id in place of the epoch, foreign; empty.
local meta = redis.call('HMGET', KEYS[1], 'store_id', 'replid', 'epoch', 'revision')
if not meta[1] then
  return {'empty', '', '0', '0', {}}
end
if meta[1] ~= ARGV[1] and redis.call('HEXISTS', KEYS[1], 'alias:' .. ARGV[1]) == 0 then
  return {'foreign', meta[1], '0', '0', {}}
end

local epoch, revision, seen = meta[3], tonumber(meta[4]), tonumber(ARGV[3])
local replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
if replid ~= meta[2] or seen > revision then
  -- Another history: after a failover or a restart, changes may be lost that
  -- some gateway saw. Its revisions begin above all that anybody saw.
  epoch = ARGV[2]
  revision = math.max(revision, seen) + 4294967296
  redis.call('HSET', KEYS[1], 'replid', replid, 'epoch', epoch,
    'revision', string.format('%.0f', revision))
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local head = {'done', epoch, string.format('%.0f', revision), string.format('%.0f', now), {}}
if ARGV[4] ~= '' and (redis.call('HGET', KEYS[1], ARGV[4]) or '0') ~= ARGV[5] then
  head[1] = 'moved'
  return head
end
if ARGV[6] ~= '' and now >= tonumber(ARGV[6]) then
  head[1] = 'late'
  return head
end
local at, replies = 7, {}
while ARGV[at] do
  local words = tonumber(ARGV[at])
  replies[#replies + 1] = redis.call(unpack(ARGV, at + 1, at + words))
  at = at + words + 1
end
head[5] = replies
return head
