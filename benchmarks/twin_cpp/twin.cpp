// A C++ twin of the benchmark's first row, by the same rules and with the same algorithms: EASY with
// wrong estimates, one choice over all pools by device price + power + carbon + transfer + wait.
// It reads what benchmarks/twin.py wrote and must give the same schedule (checksum).
//
// Written as one would write it: records of live jobs side by side, blocks of claims, the head's
// cached reservation, bounds that end a search early. What it leaves out is what the row does not
// use: other rules, classes of requests, deadlines, deferral, several inputs, refusals.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <limits>
#include <string>
#include <vector>

#include <sys/resource.h>

using i64 = std::int64_t;
using i32 = std::int32_t;

static constexpr i64 NEVER = i64{1} << 62;
static constexpr double HOUR = 3'600'000.0;
static constexpr double TIE = 1e-9, NOISE = 4e-16;
static constexpr double INF = std::numeric_limits<double>::infinity();

struct Column {  // one array of the dump
    std::vector<char> bytes;
    template <class T> const T* as() const { return reinterpret_cast<const T*>(bytes.data()); }
    template <class T> size_t size() const { return bytes.size() / sizeof(T); }
};

static Column load(const std::string& folder, const char* name) {
    Column c;
    FILE* f = std::fopen((folder + "/" + name).c_str(), "rb");
    if (!f) { std::fprintf(stderr, "no %s in %s\n", name, folder.c_str()); std::exit(1); }
    std::fseek(f, 0, SEEK_END);
    c.bytes.resize(static_cast<size_t>(std::ftell(f)));
    std::rewind(f);
    if (std::fread(c.bytes.data(), 1, c.bytes.size(), f) != c.bytes.size()) std::exit(1);
    std::fclose(f);
    return c;
}

// ---- claims of running jobs, sorted by (expected end, slot), in blocks with their sums ----------

struct Block {
    static constexpr int ROOM = 64;
    int count = 0;
    i64 end[ROOM];
    i64 need[ROOM];
    i32 job[ROOM];
};

struct Entry {  // of a pool's directory
    i64 first_end;
    i64 need;
    Block* block;
};

struct Claims {
    std::vector<Entry> directory;
    static std::vector<Block*> spare;

    static Block* fresh() {
        if (spare.empty()) {
            Block* many = new Block[256];
            for (int i = 0; i < 256; ++i) spare.push_back(many + i);
        }
        Block* b = spare.back();
        spare.pop_back();
        b->count = 0;
        return b;
    }

    size_t find(i64 end, i32 job) const {
        size_t low = 0, high = directory.size();
        while (high - low > 1) {
            const size_t middle = (low + high) / 2;
            const Entry& e = directory[middle];
            if (e.first_end < end || (e.first_end == end && e.block->job[0] <= job)) low = middle;
            else high = middle;
        }
        return low;
    }

    void add(i64 end, i32 job, i64 need) {
        if (directory.empty()) directory.push_back({end, 0, fresh()});
        size_t k = find(end, job);
        Block* b = directory[k].block;
        if (b->count == Block::ROOM) {
            Block* half = fresh();
            constexpr int keep = Block::ROOM / 2;
            half->count = Block::ROOM - keep;
            std::copy(b->end + keep, b->end + Block::ROOM, half->end);
            std::copy(b->need + keep, b->need + Block::ROOM, half->need);
            std::copy(b->job + keep, b->job + Block::ROOM, half->job);
            b->count = keep;
            i64 moved = 0;
            for (int i = 0; i < half->count; ++i) moved += half->need[i];
            directory[k].need -= moved;
            directory.insert(directory.begin() + static_cast<long>(k) + 1,
                             {half->end[0], moved, half});
            if (half->end[0] < end || (half->end[0] == end && half->job[0] <= job)) {
                b = half;
                ++k;
            }
        }
        int at = b->count;
        while (at > 0 && (b->end[at - 1] > end || (b->end[at - 1] == end && b->job[at - 1] > job)))
            --at;
        std::memmove(b->end + at + 1, b->end + at, sizeof(i64) * static_cast<size_t>(b->count - at));
        std::memmove(b->need + at + 1, b->need + at, sizeof(i64) * static_cast<size_t>(b->count - at));
        std::memmove(b->job + at + 1, b->job + at, sizeof(i32) * static_cast<size_t>(b->count - at));
        b->end[at] = end;
        b->need[at] = need;
        b->job[at] = job;
        ++b->count;
        directory[k].need += need;
        directory[k].first_end = b->end[0];
    }

    void drop(i64 end, i32 job) {
        const size_t k = find(end, job);
        Block* b = directory[k].block;
        int at = 0;
        while (b->job[at] != job || b->end[at] != end) ++at;
        directory[k].need -= b->need[at];
        const size_t rest = static_cast<size_t>(b->count - at - 1);
        std::memmove(b->end + at, b->end + at + 1, sizeof(i64) * rest);
        std::memmove(b->need + at, b->need + at + 1, sizeof(i64) * rest);
        std::memmove(b->job + at, b->job + at + 1, sizeof(i32) * rest);
        --b->count;
        if (b->count == 0) {
            spare.push_back(b);
            directory.erase(directory.begin() + static_cast<long>(k));
            return;
        }
        directory[k].first_end = b->end[0];
        merge(k);
        if (k > 0) merge(k - 1);
    }

    void merge(size_t k) {
        if (k + 1 >= directory.size()) return;
        Block *a = directory[k].block, *b = directory[k + 1].block;
        if (a->count + b->count > Block::ROOM / 2) return;
        std::copy(b->end, b->end + b->count, a->end + a->count);
        std::copy(b->need, b->need + b->count, a->need + a->count);
        std::copy(b->job, b->job + b->count, a->job + a->count);
        a->count += b->count;
        directory[k].need += directory[k + 1].need;
        spare.push_back(b);
        directory.erase(directory.begin() + static_cast<long>(k) + 1);
    }

    // When `missing` will have been released, and how much then; NEVER when perhaps after `limit`.
    i64 release(i64 missing, i64 limit, i64& released) const {
        released = 0;
        size_t k = 0;
        const size_t n = directory.size();
        for (; k < n; ++k) {
            if (released + directory[k].need >= missing) break;
            if (directory[k].first_end > limit) return NEVER;
            released += directory[k].need;
        }
        if (k == n) { released = 0; return NEVER; }
        const Block* b = directory[k].block;
        int at = 0;
        while (released + b->need[at] < missing) released += b->need[at++];
        const i64 end = b->end[at];
        for (;;) {
            while (at < b->count && b->end[at] == end) released += b->need[at++];
            if (at < b->count || ++k == n) break;
            b = directory[k].block;
            at = 0;
        }
        return end;
    }
};
std::vector<Block*> Claims::spare;

// ---- pools, live jobs, events ------------------------------------------------------------------

struct Pool {
    double least, most, kw, price;
    const double* prefix;
    i64 capacity, free;
    i64 queued_milli = 0, queued_work = 0, queued = 0, run_work = 0;
    i32 head = -1, tail = -1;
    i32 shadow_job = -1;
    i64 shadow_ms = 0, shadow_extra = 0;
    i32 zone = 0, site = 0;
    bool touched = false;
    Claims claims;
};

struct Job {  // a live one
    i64 row, submit, need, duration, left, not_before, start, end;
    double paid, gb;
    i32 next, prev, pool, home;
    bool input;
};

struct Series { const double* prefix; i64 steps, step; };

static double integral(const Series& s, i64 from, i64 to) {
    const i64 period = s.steps * s.step;
    const i64 from_turn = from / period, to_turn = to / period;
    const i64 a = from - from_turn * period, b = to - to_turn * period;
    const i64 i = a / s.step, k = b / s.step;
    const double low = s.prefix[i] + (s.prefix[i + 1] - s.prefix[i]) *
                                         (static_cast<double>(a - i * s.step) / static_cast<double>(s.step));
    const double high = s.prefix[k] + (s.prefix[k + 1] - s.prefix[k]) *
                                          (static_cast<double>(b - k * s.step) / static_cast<double>(s.step));
    return static_cast<double>(to_turn - from_turn) * s.prefix[s.steps] + high - low;
}

enum Kind { END = 0, RELEASE = 1, OVERDUE = 2 };

struct Heap {  // four children a node
    std::vector<i64> keys;
    void push(i64 key) {
        size_t at = keys.size();
        keys.push_back(key);
        while (at > 0) {
            const size_t up = (at - 1) / 4;
            if (keys[up] <= key) break;
            keys[at] = keys[up];
            at = up;
        }
        keys[at] = key;
    }
    i64 pop() {
        const i64 top = keys.front();
        const i64 key = keys.back();
        keys.pop_back();
        const size_t n = keys.size();
        if (n == 0) return top;
        size_t at = 0;
        for (;;) {
            const size_t first = 4 * at + 1;
            if (first >= n) break;
            size_t down = first;
            const size_t last = std::min(first + 4, n);
            for (size_t other = first + 1; other < last; ++other)
                if (keys[other] < keys[down]) down = other;
            if (key <= keys[down]) break;
            keys[at] = keys[down];
            at = down;
        }
        keys[at] = key;
        return top;
    }
};

struct Candidate { bool ok; double value, transfer; i64 ready, start, need, duration; };

struct Twin {
    static constexpr int SLOT_BITS = 23;
    std::vector<Pool> pools;
    std::vector<Job> jobs;
    std::vector<i32> unused;
    Heap heap;
    std::vector<i32> touched, started;
    std::vector<Series> tariff, carbon, other;
    const double *link_price, *link_pace;
    i64 sites, zero, origin, base, step, steps, assumed, depth;
    double per_ms, wait_value, carbon_price;
    i32 hint = 0;
    i64 now = 0;
    // sums
    i64 checksum = 0, wait_ms = 0, finished = 0, events = 0;
    double sums[7] = {};
    std::vector<i64> bins = std::vector<i64>(64 * 32);

    void schedule(i64 at, Kind kind, i32 j) {
        heap.push((at - zero) << (SLOT_BITS + 2) | static_cast<i64>(kind) << SLOT_BITS | j);
    }

    double priced(const Pool& p, i64 start, i64 end) const {
        const double since = static_cast<double>(start - base) * per_ms;
        const double until = static_cast<double>(end - base) * per_ms;
        double total = 0.0;
        if (until >= static_cast<double>(steps)) {  // beyond the table: from the series
            i64 from = start;
            if (since < static_cast<double>(steps)) {
                from = base + steps * step;
                const i64 i = static_cast<i64>(since);
                total = p.prefix[steps] - (p.prefix[i] + (p.prefix[i + 1] - p.prefix[i]) *
                                                            (since - static_cast<double>(i)));
            }
            if (from >= end) return total;
            const double device = p.price * (static_cast<double>(end - from) / HOUR);
            const double power = p.kw * integral(tariff[p.zone], from - origin, end - origin);
            const double grams = p.kw * integral(carbon[p.zone], from - origin, end - origin);
            return total + (device + power + grams * carbon_price);
        }
        const i64 k = static_cast<i64>(until), i = static_cast<i64>(since);
        total = p.prefix[k] + (p.prefix[k + 1] - p.prefix[k]) * (until - static_cast<double>(k));
        total -= p.prefix[i] + (p.prefix[i + 1] - p.prefix[i]) * (since - static_cast<double>(i));
        return total;
    }

    // When a job of this need would start behind everyone at the pool.
    i64 capacity_start(const Pool& p, i64 need, i64 limit) const {
        const i64 missing = p.queued_milli + need - p.free;
        if (missing <= 0) return now;
        const i64 busy = p.capacity - p.free;
        if (missing <= busy) {
            i64 released;
            const i64 end = p.claims.release(missing, limit, released);
            return end == NEVER ? NEVER : std::max(end, now);
        }
        const i64 remaining = std::max<i64>(0, (p.run_work - now / 1000 * busy) * 1000);
        return now + (remaining + p.queued_work + p.capacity - 1) / p.capacity;
    }

    Candidate estimate(const Job& j, const Pool& p, i64 need, i64 duration, double bound) const {
        Candidate c{false, 0, 0, now, 0, need, duration};
        const double devices = static_cast<double>(need) / 1000.0;
        const double hours = static_cast<double>(duration) / HOUR;
        if (devices * p.least * hours > bound) return c;
        if (j.input) {
            const size_t way = static_cast<size_t>(j.home * sites + p.site);
            c.transfer = link_price[way] * j.gb;
            c.ready = now + static_cast<i64>(std::ceil(link_pace[way] * j.gb));
        }
        const double worth = wait_value * devices / HOUR;
        const double floor = c.transfer + devices * p.least * hours;
        i64 limit = NEVER;
        if (bound < INF) limit = j.submit + static_cast<i64>((bound - floor) / worth) + 1;
        c.start = std::max(c.ready, capacity_start(p, need, limit));
        if (c.start > limit || c.start >= NEVER) return c;
        const double waited = static_cast<double>(c.start - j.submit) * worth;
        if (floor + waited > bound) return c;
        c.value = c.transfer + waited + devices * priced(p, c.start, c.start + duration);
        c.ok = true;
        return c;
    }

    i32 choose(const Job& j, i64 need, i64 duration, Candidate& best) {
        const Candidate first = estimate(j, pools[hint], need, duration, INF);
        double bound = INF;
        if (first.ok)
            bound = first.value + 2 * TIE * std::fabs(first.value) + NOISE * pools[hint].most;
        bool found = false;
        double lowest = 0.0;
        i32 chosen = -1;
        for (i32 p = 0; p < static_cast<i32>(pools.size()); ++p) {
            const Candidate c = p == hint ? first : estimate(j, pools[p], need, duration, bound);
            if (!c.ok) continue;
            const double slack = TIE * std::fabs(lowest);
            if (!found || c.value < lowest - slack ||
                (c.value <= lowest + slack && c.start < best.start)) {
                found = true;
                best = c;
                chosen = p;
                lowest = c.value;
                bound = std::min(bound,
                                 lowest + 2 * TIE * std::fabs(lowest) + NOISE * pools[p].most);
            }
        }
        if (found) hint = chosen;
        return chosen;
    }

    void touch(i32 p) {
        if (pools[p].touched) return;
        pools[p].touched = true;
        touched.push_back(p);
    }

    void add_claim(Pool& p, i32 j, i64 end) {
        p.claims.add(end, j, jobs[j].need);
        p.run_work += jobs[j].need * (end / 1000);
        p.free -= jobs[j].need;
    }

    void drop_claim(Pool& p, i32 j, i64 end) {
        p.claims.drop(end, j);
        p.run_work -= jobs[j].need * (end / 1000);
        p.free += jobs[j].need;
        p.shadow_job = -1;
    }

    void enqueue(i32 j, i32 pool) {
        Pool& p = pools[pool];
        const i64 rank = jobs[j].row;
        i32 after = p.tail;
        if (after >= 0 && jobs[after].row > rank &&
            rank - jobs[p.head].row < jobs[after].row - rank) {
            i32 following = p.head;
            while (jobs[following].row < rank) following = jobs[following].next;
            after = jobs[following].prev;
        }
        while (after >= 0 && jobs[after].row > rank) after = jobs[after].prev;
        const i32 following = after < 0 ? p.head : jobs[after].next;
        (after < 0 ? p.head : jobs[after].next) = j;
        (following < 0 ? p.tail : jobs[following].prev) = j;
        jobs[j].prev = after;
        jobs[j].next = following;
        ++p.queued;
        p.queued_milli += jobs[j].need;
        p.queued_work += jobs[j].need * jobs[j].duration;
    }

    void start(i32 j, Pool& p) {
        Job& job = jobs[j];
        (job.prev < 0 ? p.head : jobs[job.prev].next) = job.next;
        (job.next < 0 ? p.tail : jobs[job.next].prev) = job.prev;
        --p.queued;
        p.queued_milli -= job.need;
        p.queued_work -= job.need * job.duration;
        add_claim(p, j, now + job.duration);
        job.start = now;
        job.end = now + std::max<i64>(1, job.left);
        schedule(job.end, END, j);
        if (now + job.duration < job.end) schedule(now + job.duration, OVERDUE, j);
    }

    void dispatch(Pool& p, i32 newcomer) {
        i32 j = p.head;
        if (j < 0) return;
        if (newcomer >= 0 && j != newcomer && p.shadow_job == j &&
            (p.tail == newcomer || p.queued <= depth)) {
            const i64 need = jobs[newcomer].need;
            if (need > p.free || p.queued - 2 >= depth) return;
            if (now + jobs[newcomer].duration > p.shadow_ms) {
                if (need > p.shadow_extra) return;
                p.shadow_extra -= need;
            }
            start(newcomer, p);
            return;
        }
        while (j >= 0 && jobs[j].need <= p.free) {
            const i32 after = jobs[j].next;
            start(j, p);
            p.shadow_job = -1;
            j = after;
        }
        if (j < 0) return;
        if (p.shadow_job != j) {
            i64 released;
            p.shadow_ms = p.claims.release(jobs[j].need - p.free, NEVER, released);
            p.shadow_job = j;
            p.shadow_extra = p.free + released - jobs[j].need;
        }
        i64 looked = 0;
        j = jobs[j].next;
        while (j >= 0 && looked < depth && p.free > 0) {
            const i32 after = jobs[j].next;
            const i64 need = jobs[j].need;
            ++looked;
            if (need <= p.free) {
                const bool before = now + jobs[j].duration <= p.shadow_ms;
                if (before || need <= p.shadow_extra) {
                    if (!before) p.shadow_extra -= need;
                    start(j, p);
                    --looked;
                }
            }
            j = after;
        }
    }

    void prolong(i32 j, i32 pool) {
        Job& job = jobs[j];
        drop_claim(pools[pool], j, now);
        while (job.start + job.duration <= now) job.duration *= 2;
        add_claim(pools[pool], j, job.start + job.duration);
        if (job.start + job.duration < job.end) schedule(job.start + job.duration, OVERDUE, j);
        touch(pool);
    }

    static i64 mixed(i64 row, i64 pool, i64 start) {
        constexpr i64 PRIME = 2147483647;
        i64 mix = (row * 1'000'003 + (pool + 1) * 7'919) % PRIME;
        mix = (mix * mix + start / 65'536) % PRIME;
        mix = (mix * 69'621 + start % 65'536) % PRIME;
        return mix * mix % PRIME;
    }

    void finish(i32 j, i32 pool) {
        const Job& job = jobs[j];
        Pool& p = pools[pool];
        drop_claim(p, j, job.start + job.duration);
        ++finished;
        checksum += mixed(job.row, pool, job.start);
        const i64 waited = job.start - job.submit;
        wait_ms += waited;
        bins[waited > 0 ? static_cast<size_t>(std::log2(static_cast<double>(waited)) * 32) + 1 : 0]++;
        const double devices = static_cast<double>(job.need) / 1000.0, kw = devices * p.kw;
        const double hours = static_cast<double>(job.end - job.start) / HOUR;
        const i64 a = job.start - origin, b = job.end - origin;
        sums[0] += devices * p.price * hours;
        sums[1] += kw * integral(tariff[p.zone], a, b);
        sums[2] += kw * integral(carbon[p.zone], a, b);
        sums[3] += kw * integral(other[p.zone], a, b);
        sums[4] += kw * hours;
        sums[5] += job.paid;
        sums[6] += wait_value * devices * static_cast<double>(waited) / HOUR;
        touch(pool);
        unused.push_back(j);
    }

    void run(i64 rows, const i64* submit, const i64* duration, const i64* asked, const i64* need,
             const i32* home, const i64* input) {
        i64 row = 0;
        while (row < rows || !heap.keys.empty()) {
            now = NEVER;
            if (!heap.keys.empty()) now = (heap.keys[0] >> (SLOT_BITS + 2)) + zero;
            if (row < rows) now = std::min(now, submit[row] + zero);
            const i64 mark = (now - zero + 1) << (SLOT_BITS + 2);
            while (!heap.keys.empty() && heap.keys[0] < mark) {
                const i64 key = heap.pop();
                ++events;
                const i32 j = static_cast<i32>(key & ((1 << SLOT_BITS) - 1));
                const i32 p = jobs[j].pool;
                switch ((key >> SLOT_BITS) & 3) {
                    case OVERDUE:
                        if (jobs[j].start >= 0 && jobs[j].start + jobs[j].duration == now)
                            prolong(j, p);
                        break;
                    case END:
                        finish(j, p);
                        jobs[j].start = -1;
                        break;
                    default:
                        enqueue(j, p);
                        touch(p);
                }
            }
            i32 newcomer = -1;
            for (;;) {
                for (const i32 p : touched) {
                    pools[p].touched = false;
                    dispatch(pools[p], newcomer);
                }
                touched.clear();
                if (row >= rows || submit[row] + zero != now) break;
                i32 j;
                if (unused.empty()) {
                    j = static_cast<i32>(jobs.size());
                    jobs.emplace_back();
                } else {
                    j = unused.back();
                    unused.pop_back();
                }
                Job& job = jobs[j];
                job = Job{};
                job.row = row;
                job.submit = now;
                job.left = duration[row];
                job.home = home[row];
                job.input = input[row] > 0;
                job.gb = static_cast<double>(input[row]) / 1e9;
                job.start = -1;
                job.need = need[row];
                job.duration = std::max<i64>(1, asked[row] < 0 ? assumed : asked[row]);
                Candidate best{};
                const i32 p = choose(job, job.need, job.duration, best);
                if (p < 0) { std::fprintf(stderr, "row %ld finds no pool\n", row); std::exit(1); }
                job.pool = p;
                job.paid = best.transfer;
                job.not_before = best.ready;
                if (best.ready <= now) {
                    enqueue(j, p);
                    touch(p);
                } else {
                    schedule(best.ready, RELEASE, j);
                }
                newcomer = j;
                ++row;
                ++events;
            }
        }
    }
};

static double cpu_s() {
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

int main(int argc, char** argv) {
    if (argc != 2) { std::fprintf(stderr, "usage: twin FOLDER\n"); return 2; }
    const std::string folder = argv[1];
    const Column submit = load(folder, "submit_ms"), duration = load(folder, "duration_ms"),
                 asked = load(folder, "estimate_ms"), need = load(folder, "need_milli"),
                 home = load(folder, "home"), input = load(folder, "input_bytes"),
                 numbers = load(folder, "numbers"), factors = load(folder, "factors"),
                 capacity = load(folder, "capacity"), pool_site = load(folder, "pool_site"),
                 pool_zone = load(folder, "pool_zone"), kw = load(folder, "kw"),
                 price = load(folder, "price"), prefix = load(folder, "prefix"),
                 least = load(folder, "least"), most = load(folder, "most"),
                 link_price = load(folder, "link_price"), link_pace = load(folder, "link_pace"),
                 tariff = load(folder, "tariff"), carbon = load(folder, "carbon"),
                 other = load(folder, "other");
    const double began = cpu_s();
    Twin twin;
    const i64* n = numbers.as<i64>();
    twin.zero = n[0]; twin.origin = n[1]; twin.base = n[2]; twin.step = n[3]; twin.steps = n[4];
    twin.assumed = n[5]; twin.depth = n[6]; twin.sites = n[7];
    const i64 series_steps = n[8], series_step = n[9], zones = n[10];
    twin.wait_value = factors.as<double>()[0];
    twin.carbon_price = factors.as<double>()[1];
    twin.per_ms = 1.0 / static_cast<double>(twin.step);
    twin.link_price = link_price.as<double>();
    twin.link_pace = link_pace.as<double>();
    for (i64 z = 0; z < zones; ++z) {
        twin.tariff.push_back({tariff.as<double>() + z * (series_steps + 1), series_steps, series_step});
        twin.carbon.push_back({carbon.as<double>() + z * (series_steps + 1), series_steps, series_step});
        twin.other.push_back({other.as<double>() + z * (series_steps + 1), series_steps, series_step});
    }
    const size_t pools = capacity.size<i64>();
    twin.pools.resize(pools);
    for (size_t p = 0; p < pools; ++p) {
        Pool& one = twin.pools[p];
        one.capacity = one.free = capacity.as<i64>()[p];
        one.site = static_cast<i32>(pool_site.as<i64>()[p]);
        one.zone = static_cast<i32>(pool_zone.as<i64>()[p]);
        one.kw = kw.as<double>()[p];
        one.price = price.as<double>()[p];
        one.least = least.as<double>()[p];
        one.most = most.as<double>()[p];
        one.prefix = prefix.as<double>() + static_cast<i64>(p) * (twin.steps + 1);
    }
    const i64 rows = static_cast<i64>(submit.size<i64>());
    twin.run(rows, submit.as<i64>(), duration.as<i64>(), asked.as<i64>(), need.as<i64>(),
             home.as<i32>(), input.as<i64>());
    const double spent = cpu_s() - began;
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    std::printf("{\"jobs\": %ld, \"cpu_s\": %.6f, \"checksum\": \"%016lx\", \"mean_wait_ms\": %.6f, "
                "\"device_micros\": %.17g, \"events\": %ld, \"peak_rss_mb\": %.1f}\n",
                rows, spent, twin.checksum, static_cast<double>(twin.wait_ms) / static_cast<double>(rows),
                twin.sums[0], twin.events, static_cast<double>(usage.ru_maxrss) / 1024.0);
}
