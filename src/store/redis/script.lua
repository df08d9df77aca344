-- One step on the store: all of it happens, or none.
--
-- Redis undoes nothing when a command of a script fails, so a step is looked at
-- whole before its first write: guards, rights, types. After that first write
-- Redis itself refuses none of the rest (memory, disk, replicas). A change's first
-- write is that to the feed, which refuses an entry below its newest.
--
-- KEYS[1]  meta: the store's identity and counters
-- KEYS[2]  the feed, where the step makes the next revision
-- ARGV[1]  the store id that the caller knows: this store's, or that of one in
--          whose place an operator put it (a field 'alias:<id>' of meta)
-- ARGV[2]  an epoch to begin if one has to begin: 128 random bits of the
--          caller's (a script's own randomness repeats after a server start)
-- ARGV[3]  the greatest revision that the caller has seen
-- ARGV[4]  milliseconds since 1970: the step must be taken before; '' for no bound
-- ARGV[5]  how many rows get the step's revision, then for each its text before
--          the revision, that text's CRC-32, and its text behind the revision.
--          With any, the step makes the next revision.
-- then for each command: its mode, the number of its words, and its words.
--   'is'     a guard: the first word is what the rest must answer; no answer is
--            '' or '0'
--   'then'   as 'alone', but only if the command before it was answered with something
--   'alone'  runs whatever the others do: a read, or a write of its own
--   a type   a write, of that type's key as its second word; 'any' for all types
-- A word '\0revision' stands for the new revision, '\0row1' for the first row.
--
-- Returns {word, epoch, revision, milliseconds, replies, faults}; the word says
-- whether the commands ran: done, moved (a guard holds another value), late,
-- refused (why, in place of the epoch), or, with the store's id there, foreign;
-- empty. A fault is the number of a reply and the error that it is.
local meta = redis.call('HMGET', KEYS[1], 'store_id', 'replid', 'epoch', 'revision')
if not meta[1] then
  return {'empty', '', '0', '0', {}, {}}
end
if meta[1] ~= ARGV[1] and redis.call('HEXISTS', KEYS[1], 'alias:' .. ARGV[1]) == 0 then
  return {'foreign', meta[1], '0', '0', {}, {}}
end

local epoch, revision, seen = meta[3], tonumber(meta[4]), tonumber(ARGV[3])
if KEYS[2] then
  -- An entry above the counter is of a step that failed half way, or of a meta
  -- that was restored without it: no revision may be given twice.
  local newest = redis.pcall('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
  if newest[1] then
    seen = math.max(seen, tonumber(string.match(newest[1][1], '^%d+')))
  end
end
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
local function answer(word, replies, faults)
  return {word, epoch, string.format('%.0f', revision), string.format('%.0f', now),
    replies or {}, faults or {}}
end
if ARGV[4] ~= '' and now >= tonumber(ARGV[4]) then
  return answer('late')
end

-- Half a byte's part of the CRC-32.
local nibbles = {
  0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
  0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c}
-- The CRC-32 of a text that goes on after one whose CRC-32 is known.
local function crc_after(crc, text)
  crc = bit.bnot(crc)
  for at = 1, #text do
    crc = bit.bxor(crc, text:byte(at))
    for _ = 1, 2 do
      crc = bit.bxor(bit.rshift(crc, 4), nibbles[bit.band(crc, 15) + 1])
    end
  end
  return bit.bnot(crc)
end

local rows, at = tonumber(ARGV[5]), 6
local words = {}
if rows > 0 then
  local number = string.format('%.0f', revision + 1)
  words['\0revision'] = number
  for row = 1, rows do
    local head, behind = ARGV[at], number .. ARGV[at + 2]
    local crc = crc_after(tonumber(ARGV[at + 1]), behind)
    -- As `codec.rs` writes it: the format, the CRC, the text.
    words['\0row' .. row] = string.char(1, bit.band(crc, 255), bit.band(bit.rshift(crc, 8), 255),
      bit.band(bit.rshift(crc, 16), 255), bit.rshift(crc, 24)) .. head .. behind
    at = at + 3
  end
end

local commands, checked = {}, {}
while ARGV[at] do
  local mode, count = ARGV[at], tonumber(ARGV[at + 1])
  local command = {unpack(ARGV, at + 2, at + 1 + count)}
  at = at + 2 + count
  if mode == 'is' then
    local expected = table.remove(command, 1)
    local held = tostring(redis.call(unpack(command)) or '')
    if held ~= expected and not (held == '' and expected == '0') then
      return answer('moved')
    end
  else
    for word = 2, rows > 0 and count or 0 do
      command[word] = words[command[word]] or command[word]
    end
    commands[#commands + 1] = {mode, command}
  end
end

for _, step in ipairs(commands) do
  local mode, command = step[1], step[2]
  local name, key = command[1], command[2]
  if mode ~= 'alone' and mode ~= 'then' and not checked[name .. key] then
    checked[name .. key] = true
    if not redis.acl_check_cmd(unpack(command)) then
      return {'refused', 'its user may not run ' .. name .. ' on ' .. key, '0', '0', {}, {}}
    end
    local found = redis.call('TYPE', key).ok
    if mode ~= 'any' and found ~= 'none' and found ~= mode then
      return {'refused', key .. ' is a ' .. found .. ', not a ' .. mode, '0', '0', {}, {}}
    end
  end
end

local replies, faults = {}, {}
for number, step in ipairs(commands) do
  local mode, reply = step[1], false
  if mode == 'alone' or mode == 'then' and replies[number - 1] then
    reply = redis.pcall(unpack(step[2]))
  elseif mode ~= 'then' then
    reply = redis.call(unpack(step[2]))
  end
  if type(reply) == 'table' and reply.err then
    -- Of the server, not of the row: it is no master any more, it is full.
    if not string.find(reply.err, 'WRONGTYPE') and not string.find(reply.err, 'NOPERM')
      and not string.find(reply.err, 'ACL failure') then
      return reply
    end
    faults[#faults + 1] = number - 1
    faults[#faults + 1] = reply.err
    reply = false
  end
  replies[number] = reply
end
if rows > 0 then
  revision = revision + 1
end
return answer('done', replies, faults)
