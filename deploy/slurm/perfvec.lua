-- Hints for Slurm's submit commands: which kind of node suits a job's program,
-- asked from PerfVec Serve over HTTP. docs/slurm.md.
--
-- Loaded by cli_filter.lua in sbatch, srun and salloc, as the user, once for
-- each job. It may fill in `prefer` (or `constraint`) and `comment`, and does
-- nothing else: whatever goes wrong, the job is submitted as it was, and one
-- line says why. Lua 5.1, lua-socket, lua-cjson.
--
--   local perfvec = dofile("/usr/share/perfvec/slurm/perfvec.lua")
--   function slurm_cli_pre_submit(options, offset)
--     perfvec.pre_submit(options)
--     return slurm.SUCCESS
--   end
--
-- Slurm refuses a job whose `prefer` no node of its partition can satisfy, be
-- it never so willing to do without. So only jobs that surely fit on one node
-- of the kinds hinted are touched: those whose options are all in `harmless`,
-- checked against the list of nodes that `perfvec slurm check` writes.
local M = {}

local MAX_FILE_BYTES = 4 * 2 ^ 20
local MAX_ANSWER_BYTES = 256 * 2 ^ 10
local MAX_CACHED = 200
local STALE_SECONDS = 86400
local OBJECTIVES = {
  time = "OBJECTIVE_TIME", node_hours = "OBJECTIVE_TIME",
  energy = "OBJECTIVE_ENERGY", cost = "OBJECTIVE_COST",
}

-- Options that cannot make the hinted nodes unfit for the job; those of size
-- are checked apart.
local harmless = {}
for name in ([[ account acctg-freq argv array begin bell burst-buffer-file
    chdir comment cpus-per-task dependency error exclusive export export-file
    get-user-env gid hold immediate input job-name kill-on-bad-exit
    kill-on-invalid-dep label mail-type mail-user mem mem-per-cpu multi-prog
    nice no-bell no-kill no-requeue nodes ntasks open-mode output overcommit
    oversubscribe parsable partition priority profile propagate pty qos quiet
    requeue signal spank test-only time time-min uid unbuffered verbose wait
    wckey wrap ]]):gmatch("%S+") do
  harmless[name] = true
end

local function read_file(path, limit)
  local file, why = io.open(path, "rb")
  if not file then return nil, why end
  local text = file:read(limit + 1)
  file:close()
  if text and #text > limit then return nil, path .. ": too large" end
  return text or ""
end

local function read_json(path)
  local text, why = read_file(path, MAX_FILE_BYTES)
  if not text then return nil, why end
  local ok, value = pcall(require("cjson.safe").decode, text)
  if not ok or type(value) ~= "table" then return nil, path .. ": no JSON" end
  return value
end

-- The site's file; nil and why it cannot be used.
function M.load_site(path)
  local site, why = read_json(path)
  if not site then return nil, why end
  local host, port = tostring(site.server):match("^([%d.]+):(%d+)$")
  if not host then
    -- A name would have to be resolved, which no deadline bounds.
    return nil, path .. ": server: expected an IPv4 address and a port"
  end
  site.host, site.port = host, tonumber(port)
  site.objective = site.objective or "time"
  site.fill = site.fill or "prefer"
  site.deadline = (tonumber(site.deadline_ms) or 50) / 1000
  site.tolerance = tonumber(site.tolerance) or 0.05
  site.cache_seconds = tonumber(site.cache_seconds) or 300
  site.retry_seconds = tonumber(site.retry_seconds) or 2
  site.program_from = site.program_from or { "comment", "environment" }
  site.environment = site.environment or "PERFVEC_PROGRAM"
  if not OBJECTIVES[site.objective] then
    return nil, path .. ": objective: expected time, node_hours, energy or cost"
  elseif site.fill ~= "prefer" and site.fill ~= "constraint" then
    return nil, path .. ": fill: expected prefer or constraint"
  elseif type(site.features) ~= "table" or not next(site.features) then
    return nil, path .. ": features: expected a map from features"
  end
  for feature, entry in pairs(site.features) do
    if type(entry) ~= "table" or type(entry.architecture) ~= "string" or
        not feature:match("^[%w_.-]+$") then
      return nil, path .. ": feature " .. feature .. ": no architecture"
    end
    if site.objective == "node_hours" and not tonumber(entry.jobs_per_node) then
      return nil, path .. ": feature " .. feature .. ": no jobs_per_node"
    end
  end
  return site
end

-- --- What the job asks for -------------------------------------------------

-- Megabytes of "300", "2G", ...; nil: not understood.
local function megabytes(text)
  local number, unit = tostring(text):upper():match("^(%d+)([KMGT]?)B?$")
  local scale = { K = 1 / 1024, M = 1, [""] = 1, G = 1024, T = 1048576 }
  return number and number * scale[unit]
end

-- Whether the job surely fits on any node of the shape.
local function fits(set, shape)
  local cpus = (tonumber(set.ntasks) or 1) *
      (tonumber(set["cpus-per-task"]) or 1)
  if cpus > (tonumber(shape.cpus) or 0) then return false end
  local memory = megabytes(set.mem or 0)
  local each = megabytes(set["mem-per-cpu"] or 0)
  if not memory or not each then return false end
  return math.max(memory, each * cpus) <= (tonumber(shape.memory_mb) or 0)
end

-- The features that may be hinted: those that every partition named has and
-- the job fits on. nil and why none may.
local function usable_features(site, options)
  -- What is set, by the names of the long options.
  local text = slurm.json_cli_options(options)
  local set = text and require("cjson.safe").decode(text)
  if type(set) ~= "table" then return nil, "options cannot be listed" end
  for name in pairs(set) do
    if not harmless[name] then return nil, "--" .. name .. " is given" end
  end
  for _, name in ipairs({ "ntasks", "cpus-per-task" }) do
    if set[name] and not tonumber(set[name]) then
      return nil, "--" .. name .. " is not understood"
    end
  end
  if set.nodes and not ({ ["1"] = true, ["1-1"] = true })[set.nodes] then
    return nil, "more than one node"
  end
  local nodes, why = read_json(site.nodes_file or
    "/etc/perfvec/slurm_nodes.json")
  if not nodes then return nil, why, true end
  local partitions = type(nodes.partitions) == "table" and nodes.partitions or
      {}
  local usable, any = {}, false
  for feature in pairs(site.features) do
    local good = true
    for name in (set.partition or tostring(nodes.default_partition))
        :gmatch("[^,]+") do
      local shape = (partitions[name] or {})[feature]
      good = good and shape and fits(set, shape)
    end
    if good then usable[feature], any = true, true end
  end
  if not any then return nil, "no mapped kind of node fits the job" end
  return usable
end

-- The executable of the job, if that is what it submits.
local function executable_hash(site, options)
  local name = options.argv and options.argv[1]
  if not name then return nil end
  local paths = name:find("/") and { name } or {}
  if #paths == 0 then
    for folder in (os.getenv("PATH") or ""):gmatch("[^:]+") do
      paths[#paths + 1] = folder .. "/" .. name
    end
  end
  for _, path in ipairs(paths) do
    local file = io.open(path, "rb")
    if file and file:read(1) then
      file:close()
      local pipe = io.popen(("timeout %.3f sha256sum < '"):format(
        site.deadline) .. path:gsub("'", "'\\''") .. "' 2>/dev/null")
      local hash = pipe and pipe:read("*l")
      if pipe then pipe:close() end
      return hash and hash:match("^(%x+) ")
    end
    if file then file:close() end
  end
end

-- "NAME" or nil; or nil and a hash.
local function job_program(site, options)
  for _, source in ipairs(site.program_from) do
    if source == "comment" then
      local name = (" " .. (options.comment or "")):match(
        "[%s,;]perfvec=([%w._+@~-]+)")
      if name then return name end
    elseif source == "environment" then
      local name = os.getenv(site.environment)
      if name and name:match("^[%w._+@~-]+$") then return name end
    elseif source == "executable" then
      local hash = executable_hash(site, options)
      if hash then return nil, hash end
    end
  end
end

-- --- The service -----------------------------------------------------------

local function escape(text)
  return (text:gsub("[^%w._~-]", function(c)
    return ("%%%02X"):format(c:byte())
  end))
end

-- GET; the answer's JSON, or nil, why, and whether the service is at fault.
local function get(site, target, deadline)
  local socket = require("socket")
  local tcp = socket.tcp()
  local function left()
    tcp:settimeout(math.max(deadline - socket.gettime(), 0.0005), "t")
  end
  local function fail(why)
    tcp:close()
    return nil, site.server .. ": " .. why, true
  end
  left()
  local ok, why = tcp:connect(site.host, site.port)
  if not ok then return fail(why) end
  local token = ""
  if site.token_file then
    local text = read_file(site.token_file, 4096)
    if not text then return fail(site.token_file .. " cannot be read") end
    token = "Authorization: Bearer " .. text:match("%S*") .. "\r\n"
  end
  left()
  ok, why = tcp:send("GET " .. target .. " HTTP/1.1\r\nHost: localhost\r\n" ..
    token .. "Connection: close\r\n\r\n")
  if not ok then return fail(why) end
  local status, length
  for _ = 1, 100 do
    left()
    local line, error = tcp:receive("*l")
    if not line then return fail(error) end
    if line == "" then break end
    status = status or line:match("^HTTP/1%.%d (%d+)")
    length = length or line:lower():match("^content%-length: *(%d+)$")
    if not status then return fail("no answer of HTTP") end
  end
  length = tonumber(length)
  if not length or length > MAX_ANSWER_BYTES then
    return fail("an answer of no good length")
  end
  left()
  local body, error = tcp:receive(length)
  if not body then return fail(error) end
  tcp:close()
  local json = require("cjson.safe").decode(body)
  if type(json) ~= "table" then return nil, "no JSON", true end
  if status == "200" then return json end
  local what = type(json.error) == "table" and json.error.message
  return nil, tostring(what or status), tonumber(status) >= 429
end

-- Objective's value by architecture.
local function ask(site, program, hash, deadline)
  if hash then
    local found, why, down = get(site,
      "/v1/programs?pageSize=1&tags.executable_sha256=" .. hash, deadline)
    if not found then return nil, why, down end
    local first = (found.programs or {})[1]
    if not first then return nil, "no program has this executable" end
    program = first.name
  end
  local target = { "/v1/rank?program=", escape(program), "&objective=",
    OBJECTIVES[site.objective], "&limit=1000" }
  local named = {}
  for _, entry in pairs(site.features) do
    if not named[entry.architecture] then
      named[entry.architecture] = true
      target[#target + 1] = "&candidates=" .. escape(entry.architecture)
    end
  end
  local answer, why, down = get(site, table.concat(target), deadline)
  if not answer then return nil, why, down end
  local values = {}
  for _, item in ipairs(answer.items or {}) do
    if item.programOutOfDistribution and not site.trust_any_program then
      return nil, program .. " is unlike what the model was trained on"
    end
    values[item.name] = tonumber(item.objectiveValue)
    -- The map may name the latest version without its number.
    values[item.name:match("^(.*)@%d+$") or item.name] =
        tonumber(item.objectiveValue)
  end
  return { program = program, values = values }
end

-- The user's own cache of answers, a file of JSON.
local function cache_path()
  local base, home = os.getenv("XDG_CACHE_HOME"), os.getenv("HOME")
  if base and base:match("^/") then return base .. "/perfvec-slurm.json" end
  return home and home:match("^/") and home .. "/.cache/perfvec-slurm.json"
end

local function write_cache(path, cache)
  local count = 0
  for _ in pairs(cache) do count = count + 1 end
  local now = os.time()
  for key, entry in pairs(cache) do
    if count > MAX_CACHED or type(entry) ~= "table" or
        (tonumber(entry["until"]) or 0) + STALE_SECONDS < now then
      cache[key] = nil
      count = count - 1
    end
  end
  local part = ("%s.%d"):format(path, require("socket").gettime() * 1e6)
  local file = io.open(part, "wb")
  if not file then return end
  local good = file:write(require("cjson.safe").encode(cache))
  if not file:close() or not good or not os.rename(part, path) then
    os.remove(part)
  end
end

local function ask_cached(site, program, hash)
  local now = os.time()
  local deadline = require("socket").gettime() + site.deadline
  local key = site.server .. " " .. site.objective .. " " .. (program or hash)
  local names = {}
  for _, entry in pairs(site.features) do
    names[#names + 1] = entry.architecture
  end
  table.sort(names)
  key = key .. " " .. table.concat(names, " ")
  local down_key = "down " .. site.server
  local path = cache_path()
  local cache = path and read_json(path) or {}
  local function fresh(entry, more)
    local ends = type(entry) == "table" and tonumber(entry["until"]) or 0
    return ends + (more or 0) > now and ends <= now + 86400
  end
  local known = type(cache[key]) == "table" and cache[key].answer
  if type(known) ~= "table" or type(known.program) ~= "string" or
      type(known.values) ~= "table" then
    known = nil
  end
  if known and fresh(cache[key]) then return known end
  -- An old answer is better than none from a service that is silent.
  local old = known and site.cache_seconds > 0 and
      fresh(cache[key], STALE_SECONDS) and known or nil
  if fresh(cache[down_key]) then
    return old, tostring(cache[down_key].why) .. " (a moment ago)"
  end
  local answer, why, down = ask(site, program, hash, deadline)
  if answer then
    cache[key] = { answer = answer, ["until"] = now + site.cache_seconds }
  elseif down then
    cache[down_key] = { why = why, ["until"] = now + site.retry_seconds }
  end
  if path and (answer or down) then write_cache(path, cache) end
  return answer or down and old or nil, why
end

-- --- The hint ----------------------------------------------------------------

-- The features within the tolerance of the best, joined by "|"; nil: no
-- feature is better than another.
local function choose(site, usable, values)
  local best, costs = nil, {}
  for feature in pairs(usable) do
    local entry = site.features[feature]
    local value = tonumber(values[entry.architecture])
    if value and site.objective == "node_hours" then
      value = value / entry.jobs_per_node
    end
    if value and value > 0 then
      costs[feature] = value
      best = math.min(best or value, value)
    end
  end
  local good, all = {}, true
  for feature in pairs(usable) do
    if costs[feature] and costs[feature] <= best * (1 + site.tolerance) then
      good[#good + 1] = feature
    else
      all = false
    end
  end
  table.sort(good)
  if all or #good == 0 then return nil end
  return table.concat(good, "|")
end

-- What is to be logged, and whether the user should see it without asking.
local function hint(options)
  -- A step of a job that has its nodes already.
  if options.type == "srun" and os.getenv("SLURM_JOB_ID") then return end
  local site, why = M.load_site(os.getenv("PERFVEC_SLURM_SITE") or
    "/etc/perfvec/slurm.json")
  if not site then return "no hint: " .. why, true end
  local program, hash = job_program(site, options)
  if not program and not hash then return end
  if options.prefer or options.constraint then
    return "no hint: the job names its nodes' features"
  end
  local usable, wrong
  usable, why, wrong = usable_features(site, options)
  if not usable then return "no hint: " .. why, wrong end
  local answer
  answer, why = ask_cached(site, program, hash)
  if not answer then return "no hint: " .. tostring(why), program ~= nil end
  local features = choose(site, usable, answer.values)
  if not features then return "no hint: all kinds of nodes are alike" end
  options[site.fill] = features
  if site.record ~= false and not program then
    options.comment = (options.comment and options.comment .. " " or "") ..
        "perfvec=" .. answer.program
  elseif site.record ~= false and not options.comment then
    options.comment = "perfvec=" .. program
  end
  return ("%s: %s=%s"):format(answer.program, site.fill, features)
end

function M.pre_submit(options)
  local ok, line, visible = pcall(hint, options)
  if not ok then line, visible = "no hint: " .. tostring(line), true end
  if not line then return end
  line = line:gsub("%c", "?"):sub(1, 400)
  -- Not log_verbose: srun has not taken its -v to heart yet.
  if visible or (tonumber(options.verbose) or 0) > 0 then
    slurm.log_info("perfvec: %s", line)
  end
end

return M
