-- Slurm's cli_filter/lua plugin, calling PerfVec's hints. Copy it beside
-- slurm.conf, or add the two marked lines to the cli_filter.lua that is there.
local perfvec = dofile("/usr/share/perfvec/slurm/perfvec.lua") -- 1

function slurm_cli_setup_defaults(options, early)
  return slurm.SUCCESS
end

function slurm_cli_pre_submit(options, offset)
  perfvec.pre_submit(options) -- 2
  return slurm.SUCCESS
end

function slurm_cli_post_submit(offset, job_id, step_id)
  return slurm.SUCCESS
end
