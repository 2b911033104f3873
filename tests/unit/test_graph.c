/* The dependency graph: edges from facts and words, their direction, when they are idle, and circles. */
#include "../support/check_main.h"
#include "../support/state_fixture.h"
#include "runbook/check/facts.h"
#include "runbook/incident/diagnosis.h"
#include "runbook/incident/graph.h"

#define KIND(kind_name, class)                       \
    static const struct rb_kind kind_##kind_name = { \
        .schema = {.schema = {.name = #kind_name}}, .reasons = reasons, .values = values, .exec = class}

static const struct rb_reason_def reasons[] = {{"refused", "."},     {"status", "."},      {"not_listening", "."},
                                               {"wrong_owner", "."}, {"exited", "."},      {"broken", "."},
                                               {"wrong_value", "."}, {"not_running", "."}, {"exit", "."},
                                               {"target_down", "."}, {"disk_low", "."},    {"engine_unreachable", "."},
                                               {"operation", "."},   {"paused", "."},      {NULL, NULL}};
static const struct rb_value_def values[] = {{.name = "service_up", .unit = "", .help = ".", .label = "service"}, {.name = NULL}};
KIND(port, RB_EXEC_WORKER);
KIND(http, RB_EXEC_EXCHANGE);
KIND(tcp, RB_EXEC_EXCHANGE);
KIND(compose, RB_EXEC_EXCHANGE);
KIND(prometheus, RB_EXEC_EXCHANGE);
KIND(docker, RB_EXEC_EXCHANGE);
KIND(syntax, RB_EXEC_WORKER);
KIND(keys, RB_EXEC_WORKER);
KIND(command, RB_EXEC_CHILD);
KIND(host, RB_EXEC_WORKER);
KIND(git, RB_EXEC_WORKER);

struct told {
    const struct rb_kind *kind;
    enum rb_result result;
    const char *reason, *message;
    const char *facts[17]; /* key, value, …, NULL */
    const char *up;        /* a service that is up, or NULL */
};

struct world {
    struct fixture f;
    struct rb_snapshot *snapshot;
    struct rb_view view;
    struct rb_arena *arena;
    struct rb_edges edges;
    struct rb_diagnosis diagnosis;
};

static void tell(struct fixture *f, size_t index, const struct told *told)
{
    RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
    struct rb_outcome outcome;
    rb_outcome_init(&outcome, arena);
    rb_outcome_set(&outcome, told->result, told->reason ? told->reason : "none", "%s", told->message ? told->message : "");
    for (size_t i = 0; told->facts[i]; i += 2)
        rb_outcome_fact(&outcome, told->facts[i], "%s", told->facts[i + 1]);
    if (told->up)
        rb_outcome_value(&outcome, "service_up", told->up, 1);
    rb_store_started(f->store, index);
    (void)rb_store_completed(f->store, index, &outcome, rb_elapsed_ns(&f->clock.clock));
    rb_fake_clock_advance(&f->clock, SECOND);
}

static struct rb_plan *plan_of(const struct told *told, size_t count)
{
    struct rb_plan *plan = fixture_plan(count);
    plan->daemon.root = "/r";
    for (size_t i = 0; i < count; i++)
        plan->checks[i].kind = &told[i].kind->schema;
    return plan;
}

static void diagnose(struct world *w)
{
    w->snapshot = fixture_snapshot(&w->f);
    w->view = rb_view_of(w->snapshot, &w->f.clock.clock);
    w->arena = rb_arena_new(RB_DIAGNOSIS_ARENA);
    struct rb_diagnosis_options options = {.max_age_ns = 5 * SECOND};
    struct rb_error err = {0};
    ck_assert_int_eq(rb_diagnose(&w->view, &options, w->arena, &w->diagnosis, &err), 0);
}

static void look(struct world *w)
{
    diagnose(w);
    ck_assert_int_eq(rb_graph_edges(&w->view, w->arena, &w->edges, NULL), 0);
}

static void world_open(struct world *w, const struct told *told, size_t count)
{
    fixture_start(&w->f, plan_of(told, count));
    for (size_t i = 0; i < count; i++)
        tell(&w->f, i, &told[i]);
    look(w);
}

static void world_close(struct world *w)
{
    rb_arena_free(w->arena);
    rb_snapshot_unref(w->snapshot);
    fixture_end(&w->f);
}

static const struct rb_edge *edge(const struct world *w, size_t from, size_t to)
{
    for (size_t i = 0; i < w->edges.count; i++) {
        if (w->edges.items[i].from == from && w->edges.items[i].to == to)
            return &w->edges.items[i];
    }
    return NULL;
}

/* The same, where there has to be one. */
static struct rb_edge must(const struct world *w, size_t from, size_t to)
{
    const struct rb_edge *found = edge(w, from, to);
    if (!found)
        ck_abort_msg("no edge from c%zu to c%zu", from, to);
    return found ? *found : (struct rb_edge){.reason = ""};
}

START_TEST(a_stopped_container_explains_port_and_probes_without_depends_on)
{
    static const struct told told[] = {
        {&kind_http, RB_RESULT_FAIL, "refused", "refused", {RB_FACT_TARGET, "localhost:9090", NULL}, NULL},
        {&kind_tcp, RB_RESULT_FAIL, "refused", "refused", {RB_FACT_TARGET, "127.0.0.1:9090", NULL}, NULL},
        {&kind_port, RB_RESULT_FAIL, "not_listening", "nobody", {RB_FACT_LISTEN, "9090", RB_FACT_CONTAINER, "prom", NULL}, NULL},
        {&kind_compose,
         RB_RESULT_FAIL,
         "exited",
         "prom exited with code 2",
         {RB_FACT_CONTAINER, "prom", RB_FACT_SERVICE, "p/prom", RB_FACT_PUBLISH, "9090", NULL},
         NULL},
    };
    struct world w;
    world_open(&w, told, 4);
    ck_assert_ptr_nonnull(edge(&w, 0, 2));
    ck_assert_ptr_nonnull(edge(&w, 2, 3));
    ck_assert_ptr_null(edge(&w, 3, 2));
    ck_assert_str_eq(must(&w, 0, 3).reason, "asks port 9090; c3 publishes it (container prom)");
    ck_assert_uint_eq(w.diagnosis.cause_count, 1);
    ck_assert_uint_eq(w.diagnosis.causes[0].check, 3);
    ck_assert_uint_eq(w.diagnosis.causes[0].explains_count, 3);
    ck_assert_int_eq(w.diagnosis.causes[0].confidence, RB_CONFIDENCE_HIGH);
    world_close(&w);
}
END_TEST

START_TEST(a_container_that_is_up_is_not_blamed_for_its_neighbour)
{
    static const struct told told[] = {
        {&kind_http, RB_RESULT_FAIL, "refused", "refused", {RB_FACT_TARGET, "localhost:3000", NULL}, NULL},
        {&kind_compose,
         RB_RESULT_FAIL,
         "exited",
         "db exited",
         {RB_FACT_CONTAINER, "web", RB_FACT_SERVICE, "p/web", RB_FACT_PUBLISH, "3000", NULL},
         "web"},
    };
    struct world w;
    world_open(&w, told, 2);
    ck_assert(must(&w, 0, 1).idle);
    ck_assert_uint_eq(w.diagnosis.cause_count, 2);
    world_close(&w);
}
END_TEST

/* The web container runs, but what it needs has ended: its probes suffer from that. */
START_TEST(a_container_that_needs_a_dead_one_does_not_serve)
{
    static const struct told told[] = {
        {&kind_http, RB_RESULT_FAIL, "status", "500", {RB_FACT_TARGET, "localhost:3000", NULL}, NULL},
        {&kind_http, RB_RESULT_FAIL, "status", "500", {RB_FACT_TARGET, "localhost:3001", NULL}, NULL},
        {&kind_compose,
         RB_RESULT_FAIL,
         "exited",
         "db exited",
         {RB_FACT_CONTAINER, "web", RB_FACT_SERVICE, "p/web", RB_FACT_NEEDS, "p/web db", RB_FACT_PUBLISH, "3000", RB_FACT_CONTAINER,
          "alone", RB_FACT_SERVICE, "p/web", RB_FACT_PUBLISH, "3001", NULL},
         "web"},
    };
    struct world w;
    world_open(&w, told, 3);
    ck_assert(!must(&w, 0, 2).idle);
    ck_assert_str_eq(must(&w, 0, 2).reason, "asks port 3000; c2 publishes it (container web, which needs db)");
    ck_assert(must(&w, 1, 2).idle);
    ck_assert_uint_eq(w.diagnosis.cause_count, 1);
    ck_assert_uint_eq(w.diagnosis.causes[0].explains_count, 1);
    ck_assert_uint_eq(w.diagnosis.undetermined_count, 1);
    world_close(&w);
}
END_TEST

/* Words name a service as a host only where an address stands. */
START_TEST(words_name_a_service_as_a_host)
{
    static const struct {
        const char *message;
        bool linked;
    } rows[] = {{"its page says: dial tcp: lookup db on 127.0.0.11:53: no such host", true},
                {"connect to postgres://app@db/prices failed", true},
                {"db:5432 refused", true},
                {"the db is slow today", false},
                {"no table db:prices", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct told told[] = {
            {&kind_http, RB_RESULT_FAIL, "status", rows[i].message, {RB_FACT_TARGET, "localhost:3000", NULL}, NULL},
            {&kind_compose, RB_RESULT_FAIL, "exited", "ended", {RB_FACT_CONTAINER, "p-db-1", RB_FACT_SERVICE, "p/db", NULL}, NULL},
        };
        struct world w;
        world_open(&w, told, 2);
        ck_assert_msg((edge(&w, 0, 1) != NULL) == rows[i].linked, "row %zu", i);
        ck_assert_uint_eq(w.diagnosis.causes[0].check, 1);
        ck_assert_uint_eq(w.diagnosis.causes[0].explains_count, rows[i].linked);
        world_close(&w);
    }
}
END_TEST

/* A warning is the cause only of what fails for want of the very thing. */
START_TEST(a_paused_container_is_the_cause_of_what_it_does_not_answer)
{
    static const struct told told[] = {
        {&kind_http, RB_RESULT_FAIL, "status", "timeout", {RB_FACT_TARGET, "localhost:3000", NULL}, NULL},
        {&kind_http, RB_RESULT_FAIL, "refused", "refused", {RB_FACT_TARGET, "localhost:4000", NULL}, NULL},
        {&kind_compose,
         RB_RESULT_WARN,
         "paused",
         "web is paused",
         {RB_FACT_CONTAINER, "web", RB_FACT_SERVICE, "p/web", RB_FACT_PUBLISH, "3000", NULL},
         NULL},
    };
    struct world w;
    world_open(&w, told, 3);
    ck_assert_uint_eq(w.diagnosis.cause_count, 2);
    ck_assert_uint_eq(w.diagnosis.causes[0].check, 2);
    ck_assert_uint_eq(w.diagnosis.causes[0].explains_count, 1);
    ck_assert_uint_eq(w.diagnosis.causes[0].explains[0].check, 0);
    world_close(&w);
    world_open(&w, told + 1, 2);
    ck_assert_uint_eq(w.diagnosis.cause_count, 1);
    ck_assert_uint_eq(w.diagnosis.causes[0].check, 0);
    world_close(&w);
}
END_TEST

START_TEST(a_stranger_on_the_port_keeps_the_container_out)
{
    static const struct told told[] = {
        {&kind_compose,
         RB_RESULT_FAIL,
         "exited",
         "port is already allocated",
         {RB_FACT_CONTAINER, "web", RB_FACT_SERVICE, "p/web", RB_FACT_PUBLISH, "3000", NULL},
         NULL},
        {&kind_port, RB_RESULT_FAIL, "wrong_owner", "held by nc", {RB_FACT_LISTEN, "3000", RB_FACT_CONTAINER, "web", NULL}, NULL},
    };
    /* Also when the team has declared that the port needs the container. */
    for (int declared = 0; declared <= 1; declared++) {
        struct world w;
        struct rb_plan *plan = plan_of(told, 2);
        if (declared)
            fixture_depends(plan, 1, 0);
        fixture_start(&w.f, plan);
        for (size_t i = 0; i < 2; i++)
            tell(&w.f, i, &told[i]);
        look(&w);
        ck_assert_uint_eq(w.diagnosis.cause_count, 1);
        ck_assert_uint_eq(w.diagnosis.causes[0].check, 1);
        ck_assert_uint_eq(w.diagnosis.causes[0].explains_count, 1);
        world_close(&w);
    }
}
END_TEST

START_TEST(two_probes_of_one_closed_port_are_one_cause_and_other_ports_are_not)
{
    static const struct told told[] = {
        {&kind_http, RB_RESULT_FAIL, "refused", "a", {RB_FACT_TARGET, "localhost:3000", NULL}, NULL},
        {&kind_http, RB_RESULT_FAIL, "refused", "b", {RB_FACT_TARGET, "[::1]:3000", NULL}, NULL},
        {&kind_http, RB_RESULT_FAIL, "refused", "c", {RB_FACT_TARGET, "localhost:30001", NULL}, NULL},
        {&kind_http, RB_RESULT_FAIL, "refused", "d", {RB_FACT_TARGET, "db.example:3000", NULL}, NULL},
    };
    struct world w;
    world_open(&w, told, 4);
    ck_assert_uint_eq(w.diagnosis.cause_count, 3);
    ck_assert_uint_eq(w.edges.count, 1);
    world_close(&w);
}
END_TEST

START_TEST(an_engine_that_is_down_is_one_cause_from_what_was_known_before)
{
    static const struct told before[] = {
        {&kind_docker, RB_RESULT_OK, NULL, "", {NULL}, NULL},
        {&kind_compose, RB_RESULT_OK, NULL, "", {RB_FACT_CONTAINER, "web", RB_FACT_SERVICE, "p/web", RB_FACT_PUBLISH, "3000", NULL}, "web"},
        {&kind_http, RB_RESULT_OK, NULL, "", {RB_FACT_TARGET, "localhost:3000", NULL}, NULL},
    };
    static const struct told after[] = {
        {&kind_docker, RB_RESULT_FAIL, "not_running", "the engine is stopped", {NULL}, NULL},
        {&kind_compose, RB_RESULT_UNKNOWN, "engine_unreachable", "cannot be asked", {NULL}, NULL},
        {&kind_http, RB_RESULT_FAIL, "refused", "refused", {RB_FACT_TARGET, "localhost:3000", NULL}, NULL},
    };
    struct world w;
    fixture_start(&w.f, plan_of(before, 3));
    for (size_t i = 0; i < 3; i++)
        tell(&w.f, i, &before[i]);
    for (size_t i = 3; i-- > 0;)
        tell(&w.f, i, &after[i]);
    look(&w);
    ck_assert_uint_eq(w.diagnosis.cause_count, 1);
    ck_assert_uint_eq(w.diagnosis.causes[0].check, 0);
    ck_assert_uint_eq(w.diagnosis.causes[0].explains_count, 2);
    ck_assert_uint_eq(w.diagnosis.undetermined_count + w.diagnosis.observer_count, 0);
    world_close(&w);
}
END_TEST

START_TEST(a_dead_prometheus_explains_targets_whose_own_page_answers_and_no_other)
{
    static const struct told told[] = {
        {&kind_prometheus,
         RB_RESULT_FAIL,
         "refused",
         "refused",
         {RB_FACT_TARGET, "localhost:9092", RB_FACT_SCRAPES, "ai host.docker.internal:9110", RB_FACT_SCRAPES,
          "mvs host.docker.internal:9109", NULL},
         NULL},
        {&kind_http, RB_RESULT_OK, NULL, "", {RB_FACT_TARGET, "localhost:9110", NULL}, NULL},
        {&kind_port, RB_RESULT_FAIL, "not_listening", "nobody listens on 9109", {RB_FACT_LISTEN, "9109", NULL}, NULL},
        {&kind_port, RB_RESULT_FAIL, "not_listening", "nobody listens on 9092", {RB_FACT_LISTEN, "9092", NULL}, NULL},
    };
    struct world w;
    world_open(&w, told, 4);
    ck_assert_uint_eq(w.diagnosis.cause_count, 2);
    const struct rb_cause *cause = &w.diagnosis.causes[0];
    ck_assert_uint_eq(cause->check, 3);
    ck_assert_uint_eq(cause->explains_count, 2);
    ck_assert_str_eq(cause->explains[1].name, "ai");
    ck_assert_str_eq(cause->explains[1].how, "not scraped; its own page on 9110 answers");
    ck_assert_uint_eq(w.diagnosis.causes[1].check, 2);
    world_close(&w);
}
END_TEST

START_TEST(a_target_that_prometheus_calls_down_but_answers_here_is_a_riddle)
{
    static const struct told told[] = {
        {&kind_prometheus,
         RB_RESULT_FAIL,
         "target_down",
         "ai localhost:9110: context deadline exceeded",
         {RB_FACT_TARGET, "localhost:9092", RB_FACT_SCRAPES, "ai localhost:9110", NULL},
         NULL},
        {&kind_http, RB_RESULT_OK, NULL, "", {RB_FACT_TARGET, "localhost:9110", NULL}, NULL},
        {&kind_port, RB_RESULT_OK, NULL, "", {RB_FACT_LISTEN, "9092", NULL}, NULL},
    };
    struct world w;
    world_open(&w, told, 3);
    ck_assert_uint_eq(w.diagnosis.cause_count, 0);
    ck_assert_uint_eq(w.diagnosis.undetermined_count, 1);
    ck_assert_uint_eq(w.diagnosis.undetermined[0].settles, 1);
    world_close(&w);
}
END_TEST

START_TEST(words_point_at_files_and_at_the_disk)
{
    static const struct told told[] = {
        {&kind_command, RB_RESULT_FAIL, "exit", "cannot load config/a.toml:3:5", {NULL}, NULL},
        {&kind_syntax, RB_RESULT_FAIL, "broken", "config/a.toml:3:5 bad", {RB_FACT_FILE, "config/a.toml", NULL}, NULL},
        {&kind_command, RB_RESULT_FAIL, "exit", "write: No space left on device", {NULL}, NULL},
        {&kind_host, RB_RESULT_FAIL, "disk_low", "/ is full", {RB_FACT_PATH, "/", NULL}, NULL},
        {&kind_command, RB_RESULT_FAIL, "exit", "something else", {NULL}, NULL},
    };
    struct world w;
    world_open(&w, told, 5);
    ck_assert_int_eq(must(&w, 0, 1).kind, RB_EDGE_WORDS);
    ck_assert_int_eq(must(&w, 2, 3).kind, RB_EDGE_WORDS);
    ck_assert_uint_eq(w.edges.count, 2);
    ck_assert_uint_eq(w.diagnosis.cause_count, 3);
    world_close(&w);
}
END_TEST

START_TEST(a_wrong_value_does_not_keep_a_container_from_starting_but_a_broken_file_does)
{
    struct told told[] = {
        {&kind_compose, RB_RESULT_FAIL, "exited", "exited", {RB_FACT_CONTAINER, "web", RB_FACT_MOUNT, "config", NULL}, NULL},
        {&kind_syntax, RB_RESULT_FAIL, "broken", "bad", {RB_FACT_FILE, "config/a.toml", NULL}, NULL},
        {&kind_keys, RB_RESULT_FAIL, "wrong_value", "wrong", {RB_FACT_FILE, "config/b.toml", NULL}, NULL},
    };
    struct world w;
    world_open(&w, told, 3);
    ck_assert(!must(&w, 0, 1).idle);
    ck_assert_ptr_null(edge(&w, 0, 2));
    ck_assert_uint_eq(w.diagnosis.cause_count, 2);
    world_close(&w);
    told[0].facts[3] = "/"; /* holds the root: says nothing */
    world_open(&w, told, 3);
    ck_assert_ptr_null(edge(&w, 0, 1));
    world_close(&w);
}
END_TEST

START_TEST(a_circle_of_declared_and_inferred_edges_still_has_a_cause)
{
    static const struct told told[] = {
        {&kind_port, RB_RESULT_FAIL, "not_listening", "nobody", {RB_FACT_LISTEN, "3000", NULL}, NULL},
        {&kind_http, RB_RESULT_FAIL, "refused", "refused", {RB_FACT_TARGET, "localhost:3000", NULL}, NULL},
    };
    struct world w;
    struct rb_plan *plan = plan_of(told, 2);
    fixture_depends(plan, 0, 1); /* the wrong way round */
    fixture_start(&w.f, plan);
    for (size_t i = 0; i < 2; i++)
        tell(&w.f, i, &told[i]);
    look(&w);
    ck_assert_uint_eq(w.edges.count, 2);
    ck_assert_uint_eq(w.diagnosis.cause_count, 1);
    ck_assert_uint_eq(w.diagnosis.causes[0].explains_count, 1);
    world_close(&w);
}
END_TEST

START_TEST(what_a_merge_left_unmerged_breaks_who_reads_it)
{
    static const struct told told[] = {
        {&kind_syntax, RB_RESULT_FAIL, "broken", "bad", {RB_FACT_FILE, "a.toml", NULL}, NULL},
        {&kind_git, RB_RESULT_FAIL, "operation", "a merge is in progress", {RB_FACT_FILE, "a.toml", NULL}, NULL},
    };
    struct world w;
    world_open(&w, told, 2);
    ck_assert_uint_eq(w.diagnosis.cause_count, 1);
    ck_assert_uint_eq(w.diagnosis.causes[0].check, 1);
    ck_assert_str_eq(w.diagnosis.causes[0].todo[1], "git -C /r merge --abort   # gives it up; its conflicts resolved so far are lost");
    world_close(&w);
}
END_TEST

START_TEST(an_engine_that_is_down_says_nothing_of_another_one)
{
    static const struct told told[] = {
        {&kind_docker, RB_RESULT_FAIL, "not_running", "the engine is stopped", {NULL}, NULL},
        {&kind_compose, RB_RESULT_FAIL, "exited", "p-db-1 exited with code 1", {RB_FACT_CONTAINER, "p-db-1", NULL}, NULL},
        {&kind_compose, RB_RESULT_UNKNOWN, "engine_unreachable", "cannot be asked", {NULL}, NULL},
    };
    static char key[] = "socket", sockets[3][32] = {"/run/docker.sock", "/run/user/1000/docker.sock", "unix:///run/docker.sock"};
    struct rb_node scalars[3], nodes[3];
    struct rb_node *items[3];
    const char *keys[] = {key};
    struct rb_plan *plan = plan_of(told, 3);
    for (size_t i = 0; i < 3; i++) {
        scalars[i] = (struct rb_node){.type = RB_NODE_SCALAR, .scalar = sockets[i]};
        items[i] = &scalars[i];
        nodes[i] = (struct rb_node){.type = RB_NODE_MAPPING, .keys = keys, .items = &items[i], .count = 1};
        plan->checks[i].node = &nodes[i];
    }
    struct world w;
    fixture_start(&w.f, plan);
    for (size_t i = 0; i < 3; i++)
        tell(&w.f, i, &told[i]);
    look(&w);
    ck_assert_ptr_null(edge(&w, 1, 0));
    ck_assert_ptr_nonnull(edge(&w, 2, 0));
    ck_assert_uint_eq(w.diagnosis.cause_count, 2);
    world_close(&w);
}
END_TEST

/* As the daemon has it (RB_DIAGNOSIS_ARENA): everything is down at once, and everybody says at length what of. */
START_TEST(what_a_thousand_checks_say_fits_into_a_report)
{
    enum { CHECKS = 1000, LINES = 20 };
    struct rb_plan *plan = fixture_plan(CHECKS);
    plan->daemon.root = "/r";
    for (size_t i = 0; i < CHECKS; i++)
        plan->checks[i].kind = &kind_command.schema;
    struct world w;
    fixture_start(&w.f, plan);
    for (size_t i = 0; i < CHECKS; i++) {
        RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
        struct rb_outcome outcome;
        rb_outcome_init(&outcome, arena);
        rb_outcome_set(&outcome, RB_RESULT_FAIL, "exit", "ended with code 1");
        rb_outcome_fact(&outcome, RB_FACT_TARGET, "localhost:8080");
        for (unsigned l = 0; l < LINES; l++)
            rb_outcome_evidence(&outcome,
                                "File \"/srv/app/lib/python3.11/site-packages/worker_%zu/module_%u.py\", line %u, in call_the_next_one: "
                                "connecting to localhost:8080 while reading conf/settings.d/part_%u.toml of the working folder",
                                i, l, l, l);
        rb_store_started(w.f.store, i);
        (void)rb_store_completed(w.f.store, i, &outcome, rb_elapsed_ns(&w.f.clock.clock));
    }
    diagnose(&w);
    ck_assert_uint_eq(w.diagnosis.cause_count, CHECKS);
    world_close(&w);
}
END_TEST

/* Many checks that read the same many files: as many claims and edges as are taken. */
START_TEST(a_graph_at_its_limit_fits_into_a_report)
{
    enum { CHECKS = 120, FILES = 480 };
    struct rb_plan *plan = fixture_plan(CHECKS);
    plan->daemon.root = "/r";
    for (size_t i = 0; i < CHECKS; i++)
        plan->checks[i].kind = i < 3 ? &kind_syntax.schema : &kind_keys.schema;
    struct world w;
    fixture_start(&w.f, plan);
    for (size_t i = 0; i < CHECKS; i++) {
        RB_ARENA_AUTO *arena = rb_arena_new(1 << 20);
        struct rb_outcome outcome;
        rb_outcome_init(&outcome, arena);
        rb_outcome_set(&outcome, RB_RESULT_FAIL, "broken", "bad");
        for (unsigned l = 0; l < FILES; l++)
            rb_outcome_fact(&outcome, RB_FACT_FILE, "services/production/settings.d/part_%u.toml", l);
        rb_store_started(w.f.store, i);
        (void)rb_store_completed(w.f.store, i, &outcome, rb_elapsed_ns(&w.f.clock.clock));
    }
    diagnose(&w);
    ck_assert_uint_eq(w.diagnosis.cause_count, 1);
    world_close(&w);
}
END_TEST

START_TEST(a_low_port_of_an_address_is_a_port_and_no_file)
{
    static const struct told told[] = {
        {&kind_port, RB_RESULT_FAIL, "not_listening", "nobody", {RB_FACT_LISTEN, "80", NULL}, NULL},
        {&kind_command, RB_RESULT_FAIL, "exit", "GET http://127.0.0.1:80/health: connection refused", {NULL}, NULL},
        {&kind_command, RB_RESULT_FAIL, "exit", "connect to 127.0.0.1:80 failed", {NULL}, NULL},
    };
    struct world w;
    world_open(&w, told, 3);
    ck_assert_ptr_nonnull(edge(&w, 1, 0));
    ck_assert_ptr_nonnull(edge(&w, 2, 0));
    ck_assert_uint_eq(w.diagnosis.cause_count, 1);
    world_close(&w);
}
END_TEST

/* Two projects have a service of the same name: the name means the one in the project of who says it. */
START_TEST(a_service_of_another_project_is_not_meant)
{
    static const struct told told[] = {
        {&kind_compose,
         RB_RESULT_FAIL,
         "exited",
         "test-db exited with code 1",
         {RB_FACT_CONTAINER, "test-db", RB_FACT_SERVICE, "test/db", NULL},
         NULL},
        {&kind_compose,
         RB_RESULT_OK,
         NULL,
         NULL,
         {RB_FACT_CONTAINER, "live-db", RB_FACT_SERVICE, "live/db", RB_FACT_CONTAINER, "live-api", RB_FACT_SERVICE, "live/api",
          RB_FACT_PUBLISH, "8081", NULL},
         NULL},
        {&kind_http,
         RB_RESULT_FAIL,
         "status",
         "status 500: too many connections to db:5432",
         {RB_FACT_TARGET, "localhost:8081", NULL},
         NULL},
        {&kind_command, RB_RESULT_FAIL, "exit", "too many connections to db:5432", {NULL}, NULL},
    };
    struct world w;
    world_open(&w, told, 4);
    ck_assert_ptr_null(edge(&w, 2, 0));
    ck_assert_ptr_nonnull(edge(&w, 2, 1));
    ck_assert_ptr_null(edge(&w, 3, 0)); /* which of the two cannot be told */
    world_close(&w);
}
END_TEST

/* "data", "app", "host": words of any sentence, and names of services. */
START_TEST(a_word_of_a_sentence_is_no_host)
{
    static const struct told told[] = {
        {&kind_compose,
         RB_RESULT_FAIL,
         "exited",
         "p-data exited with code 1",
         {RB_FACT_CONTAINER, "p-data", RB_FACT_SERVICE, "p/data", RB_FACT_CONTAINER, "p-host", RB_FACT_SERVICE, "p/host", NULL},
         NULL},
        {&kind_command, RB_RESULT_FAIL, "exit", "curl: (6) Could not resolve host: pypi.org while loading data for app", {NULL}, NULL},
        {&kind_command,
         RB_RESULT_FAIL,
         "exit",
         "could not translate host name \"data\" to address: Name or service not known",
         {NULL},
         NULL},
        {&kind_command, RB_RESULT_FAIL, "exit", "dial tcp: lookup data on 127.0.0.11:53: no such host", {NULL}, NULL},
        {&kind_command, RB_RESULT_FAIL, "exit", "getaddrinfo ENOTFOUND data", {NULL}, NULL},
        {&kind_command, RB_RESULT_FAIL, "exit", "java.net.UnknownHostException: data: Name or service not known", {NULL}, NULL},
        {&kind_command, RB_RESULT_FAIL, "exit", "ping: data: Temporary failure in name resolution", {NULL}, NULL},
        {&kind_command, RB_RESULT_FAIL, "exit", "nginx: [emerg] host not found in upstream \"data:80\"", {NULL}, NULL},
    };
    struct world w;
    world_open(&w, told, 8);
    ck_assert_ptr_null(edge(&w, 1, 0));
    for (size_t i = 2; i < 8; i++)
        ck_assert_msg(edge(&w, i, 0) != NULL, "%zu", i);
    world_close(&w);
}
END_TEST

RB_TEST_MAIN("graph", a_stopped_container_explains_port_and_probes_without_depends_on,
             a_container_that_is_up_is_not_blamed_for_its_neighbour, a_container_that_needs_a_dead_one_does_not_serve,
             words_name_a_service_as_a_host, a_paused_container_is_the_cause_of_what_it_does_not_answer,
             a_stranger_on_the_port_keeps_the_container_out, two_probes_of_one_closed_port_are_one_cause_and_other_ports_are_not,
             an_engine_that_is_down_is_one_cause_from_what_was_known_before,
             a_dead_prometheus_explains_targets_whose_own_page_answers_and_no_other,
             a_target_that_prometheus_calls_down_but_answers_here_is_a_riddle, words_point_at_files_and_at_the_disk,
             a_wrong_value_does_not_keep_a_container_from_starting_but_a_broken_file_does,
             a_circle_of_declared_and_inferred_edges_still_has_a_cause, what_a_merge_left_unmerged_breaks_who_reads_it,
             an_engine_that_is_down_says_nothing_of_another_one, what_a_thousand_checks_say_fits_into_a_report,
             a_graph_at_its_limit_fits_into_a_report, a_low_port_of_an_address_is_a_port_and_no_file,
             a_service_of_another_project_is_not_meant, a_word_of_a_sentence_is_no_host)
