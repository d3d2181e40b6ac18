/* Whom to dial and when; what a link is still owed of the records; budgets. */
#include "protocol/gossip/links.h"
#include "protocol/gossip/push.h"
#include "protocol/gossip/status.h"

#include "tests/support/cmocka.h"

#include <stdio.h>

#define SECOND 1000000000ull

struct fixture {
    struct rng_seeded seeded;
    struct links *l;
    struct node_id linked; /* the one node that is linked */
};

static bool is_linked(void *ctx, const struct node_id *node)
{
    const struct fixture *f = ctx;
    return node_id_equal(node, &f->linked);
}

static void fixture_init(struct fixture *f, unsigned dial_max)
{
    memset(f, 0, sizeof *f);
    rng_seeded_init(&f->seeded, 4);
    struct links_config config = {.rng = rng_from_seeded(&f->seeded),
                                  .dial_max = dial_max,
                                  .linked = is_linked,
                                  .ctx = f};
    assert_int_equal(links_new(&config, &f->l), STATUS_OK);
}

static void static_addresses_are_dialled_first_and_always(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 0);
    assert_int_equal(links_add(f.l, "r:1", LINKS_ROSTER, NULL, 0), STATUS_OK);
    assert_int_equal(links_add(f.l, "s:1", LINKS_STATIC, NULL, 0), STATUS_OK);
    struct links_entry *e = links_next(f.l, 0);
    assert_string_equal(e->addr, "s:1");
    e->link = 7;
    assert_null(links_next(f.l, 100 * SECOND));
    assert_ptr_equal(links_of(f.l, 7), e);
    assert_null(links_of(f.l, 8));
    assert_null(links_of(f.l, 0));
    links_free(f.l);
}

static void roster_is_dialled_up_to_its_bound(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 3);
    for (unsigned i = 0; i < 20; i++) {
        char addr[16];
        (void)snprintf(addr, sizeof addr, "r%u:1", i);
        assert_int_equal(links_add(f.l, addr, LINKS_ROSTER, NULL, 0),
                         STATUS_OK);
    }
    for (uint32_t link = 1; link <= 3; link++) {
        struct links_entry *e = links_next(f.l, 0);
        assert_non_null(e);
        e->link = link;
    }
    assert_null(links_next(f.l, 0));
    assert_int_equal(links_deadline_ns(f.l), UINT64_MAX);
    links_free(f.l);
}

static void linked_nodes_are_left_alone(void **state)
{
    (void)state;
    struct fixture f;
    struct node_id node = {{9}};
    fixture_init(&f, 3);
    assert_int_equal(links_add(f.l, "r:1", LINKS_ROSTER, &node, 0), STATUS_OK);
    f.linked = node;
    assert_null(links_next(f.l, SECOND));
    assert_int_equal(links_deadline_ns(f.l), UINT64_MAX);
    memset(&f.linked, 0, sizeof f.linked);
    assert_non_null(links_next(f.l, SECOND));
    links_free(f.l);
}

static void failures_wait_longer_up_to_a_minute_for_ever(void **state)
{
    (void)state;
    struct fixture f;
    uint64_t now = 0, last = 0;
    fixture_init(&f, 3);
    assert_int_equal(links_add(f.l, "s:1", LINKS_STATIC, NULL, 0), STATUS_OK);
    for (unsigned i = 0; i < 100; i++) {
        struct links_entry *e = links_next(f.l, now);
        assert_non_null(e);
        e->link = i + 1;
        links_down(f.l, e, "refused", false, now);
        assert_int_equal(e->failures, i < 64 ? i + 1 : 64);
        last = links_deadline_ns(f.l) - now;
        assert_in_range(last, SECOND / 2, 60 * SECOND);
        assert_null(links_next(f.l, now + last - 1));
        now += last;
    }
    assert_in_range(last, 30 * SECOND, 60 * SECOND);
    struct links_entry *e = links_next(f.l, now);
    assert_string_equal(e->error, "refused");
    e->link = 1000;
    links_up(f.l, e, &(struct node_id){{1}});
    assert_string_equal(e->error, "");
    links_down(f.l, e, "", false, now);
    assert_in_range(links_deadline_ns(f.l) - now, SECOND / 2, SECOND);
    links_free(f.l);
}

static void punished_address_waits_the_longest(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 3);
    assert_int_equal(links_add(f.l, "s:1", LINKS_STATIC, NULL, 0), STATUS_OK);
    struct links_entry *e = links_next(f.l, 0);
    e->link = 1;
    links_down(f.l, e, "lies", true, 0);
    assert_in_range(links_deadline_ns(f.l), 30 * SECOND, 60 * SECOND);
    links_free(f.l);
}

static void hints_are_dialled_one_a_second(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 5);
    assert_int_equal(links_add(f.l, "a:1", LINKS_HINT, NULL, 0), STATUS_OK);
    assert_int_equal(links_add(f.l, "b:1", LINKS_HINT, NULL, 0), STATUS_OK);
    struct links_entry *e = links_next(f.l, 0);
    e->link = 1;
    assert_null(links_next(f.l, SECOND - 1));
    assert_int_equal(links_deadline_ns(f.l), SECOND);
    assert_non_null(links_next(f.l, SECOND));
    links_free(f.l);
}

static void full_book_keeps_static_and_used_addresses(void **state)
{
    (void)state;
    struct fixture f;
    char addr[LIMIT_ADDR_BYTES + 2];
    fixture_init(&f, 5);
    assert_int_equal(links_add(f.l, "s:1", LINKS_STATIC, NULL, 0), STATUS_OK);
    for (unsigned i = 0; i < 2 * LIMIT_LINKS_ADDRS; i++) {
        (void)snprintf(addr, sizeof addr, "h%u:1", i);
        assert_int_equal(links_add(f.l, addr, LINKS_HINT, NULL, 0), STATUS_OK);
    }
    assert_int_equal(links_count(f.l), LIMIT_LINKS_ADDRS);
    assert_string_equal(links_at(f.l, 0)->addr, "s:1");
    memset(addr, 'x', sizeof addr - 1);
    addr[sizeof addr - 1] = '\0';
    assert_int_equal(links_add(f.l, addr, LINKS_HINT, NULL, 0), STATUS_LIMIT);
    links_free(f.l);
}

/* Beacons can be replayed from made-up addresses: they must not push out what
 * certified nodes said of themselves. */
static void hints_make_room_for_roster_and_not_the_other_way(void **state)
{
    (void)state;
    struct fixture f;
    char addr[32];
    fixture_init(&f, 5);
    for (unsigned i = 0; i < LIMIT_LINKS_ADDRS - 1; i++) {
        (void)snprintf(addr, sizeof addr, "r%u:1", i);
        assert_int_equal(links_add(f.l, addr, LINKS_ROSTER, NULL, 0),
                         STATUS_OK);
        struct links_entry *e = links_next(f.l, 0);
        links_down(f.l, e, "refused", false, 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(addr, sizeof addr, "h%u:1", i);
        assert_int_equal(links_add(f.l, addr, LINKS_HINT, NULL, 0), STATUS_OK);
    }
    size_t roster = 0;
    for (size_t i = 0; i < links_count(f.l); i++)
        roster += links_at(f.l, i)->source == LINKS_ROSTER;
    assert_int_equal(roster, LIMIT_LINKS_ADDRS - 1);
    assert_int_equal(links_add(f.l, "new:1", LINKS_ROSTER, NULL, 0), STATUS_OK);
    assert_int_equal(links_add(f.l, "h9:1", LINKS_HINT, NULL, 0), STATUS_LIMIT);
    links_free(f.l);
}

static void addresses_that_others_tell_are_printable(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 5);
    assert_int_equal(links_add(f.l, "a:1\nerror: x", LINKS_HINT, NULL, 0),
                     STATUS_CORRUPT);
    assert_int_equal(links_add(f.l, "\xc2\x9b:1", LINKS_ROSTER, NULL, 0),
                     STATUS_CORRUPT);
    assert_int_equal(links_add(f.l, "a b:1", LINKS_ROSTER, NULL, 0),
                     STATUS_CORRUPT);
    assert_int_equal(links_add(f.l, "", LINKS_HINT, NULL, 0), STATUS_LIMIT);
    assert_int_equal(links_add(f.l, "[fe80::1%eth0]:1", LINKS_HINT, NULL, 0),
                     STATUS_OK);
    assert_int_equal(links_count(f.l), 1);
    links_free(f.l);
}

static struct push_item item(enum push_class class, uint64_t order, uint8_t id)
{
    struct push_item it = {.order = order, .class = class};
    it.slot.b[0] = id;
    return it;
}

static void add(struct push *p, enum push_class class, uint64_t order,
                uint8_t id)
{
    struct push_item it = item(class, order, id);
    push_add(p, &it);
}

static void pushes_leave_in_order_of_class_and_number(void **state)
{
    (void)state;
    static const uint8_t expected[] = {1, 2, 3, 4, 5, 6};
    struct push p = {0};
    add(&p, PUSH_STATUS_BEAT, 0, 6);
    add(&p, PUSH_FLEET, 10, 2);
    add(&p, PUSH_CONTROL, 0, 4);
    add(&p, PUSH_FLEET, 9, 1);
    add(&p, PUSH_STATUS_CHANGE, 0, 5);
    add(&p, PUSH_CERT, 0, 3);
    for (size_t i = 0; i < sizeof expected; i++) {
        assert_int_equal(push_peek(&p)->slot.b[0], expected[i]);
        push_pop(&p);
    }
    assert_null(push_peek(&p));
    push_pop(&p);
    push_deinit(&p);
}

static void slot_is_pushed_once(void **state)
{
    (void)state;
    struct push p = {0};
    struct slot_id slot = {{1}};
    add(&p, PUSH_CONTROL, 0, 1);
    add(&p, PUSH_CONTROL, 0, 1);
    assert_int_equal(p.count, 1);
    push_remove(&p, &slot);
    assert_int_equal(p.count, 0);
    add(&p, PUSH_STATUS_BEAT, 0, 1);
    add(&p, PUSH_STATUS_CHANGE, 0, 1);
    assert_int_equal(p.count, 1);
    add(&p, PUSH_STATUS_BEAT, 0, 1);
    assert_int_equal(p.count, 1);
    assert_int_equal(push_peek(&p)->class, PUSH_STATUS_CHANGE);
    push_deinit(&p);
}

static void announced_status_moves_up_when_asked_for(void **state)
{
    (void)state;
    struct push p = {0};
    add(&p, PUSH_ANNOUNCE, 0, 1);
    add(&p, PUSH_ANNOUNCE, 0, 2);
    add(&p, PUSH_STATUS_BEAT, 0, 1); /* GET asked for it */
    assert_int_equal(p.count, 2);
    assert_int_equal(push_peek(&p)->class, PUSH_STATUS_BEAT);
    assert_int_equal(push_peek(&p)->slot.b[0], 1);
    add(&p, PUSH_ANNOUNCE, 0, 1); /* it is on its way already */
    assert_int_equal(p.count, 2);
    push_pop(&p);
    assert_int_equal(push_peek(&p)->class, PUSH_ANNOUNCE);
    assert_int_equal(push_peek(&p)->slot.b[0], 2);
    push_deinit(&p);
}

static void full_push_says_so(void **state)
{
    (void)state;
    struct push p = {0};
    for (uint32_t i = 0; i <= LIMIT_PUSH_SLOTS; i++) {
        struct push_item it = {.class = PUSH_CONTROL};
        store_be32(it.slot.b, i);
        assert_false(p.overflow);
        push_add(&p, &it);
    }
    assert_true(p.overflow);
    assert_int_equal(p.count, LIMIT_PUSH_SLOTS);
    push_deinit(&p);
}

static void quota_refills_at_its_rate(void **state)
{
    (void)state;
    struct quota q;
    quota_init(&q, 256, 1000, 0);
    assert_true(quota_take(&q, 1000, 0));
    assert_false(quota_take(&q, 1, 0));
    assert_int_equal(quota_ready_ns(&q, 256, 0), SECOND);
    assert_false(quota_take(&q, 256, SECOND - 1));
    assert_true(quota_take(&q, 256, SECOND));
    assert_true(quota_take(&q, 1000, 1000000 * SECOND));
    assert_false(quota_take(&q, 1, 1000000 * SECOND));
    /* More than the cap is let through when full, or it never would be. */
    assert_true(quota_take(&q, 5000, 2000000 * SECOND));
}

static void quota_loses_nothing_to_small_steps(void **state)
{
    (void)state;
    struct quota q;
    uint64_t taken = 0;
    quota_init(&q, 256, 256, 0);
    assert_true(quota_take(&q, 256, 0));
    for (uint64_t now = 0; now <= 10 * SECOND; now += 1000003)
        taken += quota_take(&q, 1, now);
    assert_in_range(taken, 2550, 2560);
}

static void beat_follows_changes_within_its_budget(void **state)
{
    (void)state;
    struct status_beat b;
    status_beat_init(&b, 0);
    assert_int_equal(status_beat_due_ns(&b, 0), 0);
    status_beat_written(&b, 300, 0, 0);
    assert_int_equal(status_beat_due_ns(&b, 0), STATUS_BEAT_NS);
    status_beat_changed(&b, SECOND);
    assert_int_equal(status_beat_due_ns(&b, SECOND), SECOND + STATUS_SETTLE_NS);
    status_beat_changed(&b, SECOND + STATUS_SETTLE_NS / 2);
    assert_int_equal(status_beat_due_ns(&b, SECOND), SECOND + STATUS_SETTLE_NS);
    for (unsigned i = 0; i < 40; i++) {
        status_beat_written(&b, 300, 0, 2 * SECOND);
        status_beat_changed(&b, 2 * SECOND);
    }
    assert_true(status_beat_due_ns(&b, 2 * SECOND) >
                2 * SECOND + STATUS_SETTLE_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(static_addresses_are_dialled_first_and_always),
        cmocka_unit_test(roster_is_dialled_up_to_its_bound),
        cmocka_unit_test(linked_nodes_are_left_alone),
        cmocka_unit_test(failures_wait_longer_up_to_a_minute_for_ever),
        cmocka_unit_test(punished_address_waits_the_longest),
        cmocka_unit_test(hints_are_dialled_one_a_second),
        cmocka_unit_test(full_book_keeps_static_and_used_addresses),
        cmocka_unit_test(hints_make_room_for_roster_and_not_the_other_way),
        cmocka_unit_test(addresses_that_others_tell_are_printable),
        cmocka_unit_test(pushes_leave_in_order_of_class_and_number),
        cmocka_unit_test(slot_is_pushed_once),
        cmocka_unit_test(announced_status_moves_up_when_asked_for),
        cmocka_unit_test(full_push_says_so),
        cmocka_unit_test(quota_refills_at_its_rate),
        cmocka_unit_test(quota_loses_nothing_to_small_steps),
        cmocka_unit_test(beat_follows_changes_within_its_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
