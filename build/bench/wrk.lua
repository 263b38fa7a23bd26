-- Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0
-- Only the end of a run is scripted, so that nothing is added to a request.
function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        'RESULT {"requests": %d, "rate": %.2f, "bytes": %d, "p50_us": %d, "p99_us": %d, "max_us": %d, "errors": %d, "bad_status": %d}\n',
        summary.requests, summary.requests / (summary.duration / 1e6), summary.bytes, latency:percentile(50),
        latency:percentile(99), latency.max, e.connect + e.read + e.write + e.status + e.timeout, e.status))
end
