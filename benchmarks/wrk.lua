-- Asks for the list of a user by chance: wrk ... URL -- USERS [MEAN_DELAY_MS]; prints JSON last.

function init(args)
  local users, mean = tonumber(args[1]), tonumber(args[2] or 0)
  function request()
    return wrk.format("GET", "/v1/users/u" .. math.random(0, users - 1) .. "/lists/home")
  end
  if mean > 0 then
    function delay()
      return math.random(0, 2 * mean)
    end
  end
end

function done(summary, latency)
  local failed = summary.errors
  print(string.format(
    '{"requests": %d, "seconds": %f, "bytes": %d, "p50_ms": %f, "p99_ms": %f, "refused": %d, "lost": %d}',
    summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(50) / 1000,
    latency:percentile(99) / 1000, failed.status,
    failed.connect + failed.read + failed.write + failed.timeout))
end
