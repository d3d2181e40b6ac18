/* The user's command: how it is written out, what its end means, and that
 * nothing of it stays. */
#include "daemon/check_run.h"

#include "tests/support/cmocka.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void expect_command(const char *command, const char *path,
                           const char *want)
{
    char *got = check_command(command, path);
    assert_string_equal(got, want);
    free(got);
}

static void command_gets_the_path_at_every_mark(void **state)
{
    (void)state;
    expect_command("eval {}", "/tmp/a.bin", "eval /tmp/a.bin");
    expect_command("{} -o {}{}", "a", "a -o aa");
    expect_command("eval --model={}.x | tail", "/t/m",
                   "eval --model=/t/m.x | tail");
    expect_command("eval \"{}\"", "/tmp/a.bin", "eval \"/tmp/a.bin\"");
    expect_command("none", "/tmp/a", "none");
    expect_command("eval {}", "{}", "eval {}");
    assert_true(check_command_fits("a {} b"));
    assert_false(check_command_fits("a { } b"));
}

static void expect_number(const char *text, double want, bool many)
{
    double got = -1;
    bool several = !many;
    assert_true(check_number(text, strlen(text), &got, &several));
    if (isnan(want))
        assert_true(isnan(got));
    else
        assert_true(got == want);
    assert_int_equal(several, many);
}

static void number_is_the_first_of_the_last_line_that_has_one(void **state)
{
    (void)state;
    expect_number("0.97", 0.97, false);
    expect_number("loss 0.5\naccuracy: 0.9765\n", 0.9765, false);
    expect_number("0.977 (1954/2000)\n", 0.977, true);
    expect_number("top1 0.9, top5 0.99", 0.9, true);
    expect_number("0.97\n\ndone\n", 0.97, false);
    expect_number("epoch 3\rbar 99%\racc 0.5\r", 0.5, false);
    expect_number("0.1\r\n0.2\r\n", 0.2, false);
    expect_number("[1, 2, 3]", 1, true);
    expect_number("0.5 inf", 0.5, false);
    expect_number("0.25\ninf 1e999 -inf\n", 0.25, false);
}

static void number_stands_alone(void **state)
{
    (void)state;
    double unused;
    bool several;
    static const char *const without[] = {"",    "ok",   "layer3", "v1.2.x",
                                          "3rd", "0x10", "nano",   "-",
                                          ".",   "e5",   "\n",     "1e999"};
    expect_number("acc=97.5%", 97.5, false);
    expect_number("accuracy is 0.97.", 0.97, false);
    expect_number("(-1.5e-3)", -1.5e-3, false);
    expect_number("-7", -7, false);
    expect_number("+.5", 0.5, false);
    expect_number("layer3 of v1.2: 0.9", 0.9, false);
    expect_number("nan", NAN, false);
    for (size_t i = 0; i < sizeof(without) / sizeof(*without); i++)
        assert_false(
            check_number(without[i], strlen(without[i]), &unused, &several));
}

static enum status run(const char *command, const double *min,
                       unsigned timeout_s, struct check_result *out,
                       struct diag *diag)
{
    const struct check_options options = {.command = command,
                                          .path = "/dev/null",
                                          .has_min = min != NULL,
                                          .min = min ? *min : 0,
                                          .timeout_s = timeout_s};
    diag_reset(diag);
    return check_run(&options, out, diag);
}

static void exit_status_is_the_verdict(void **state)
{
    (void)state;
    struct check_result r;
    struct diag diag;
    assert_int_equal(run("test -e {}", NULL, 60, &r, &diag), STATUS_OK);
    assert_int_equal(r.verdict, CHECK_PASSED);
    assert_false(r.has_value);
    assert_int_equal(run("echo 0.5; exit 3 {}", NULL, 60, &r, &diag),
                     STATUS_OK);
    assert_int_equal(r.verdict, CHECK_FAILED);
    assert_int_equal(r.exit, 3);
    assert_true(r.has_value && r.value == 0.5);
}

static void least_value_counts_only_with_exit_status_0(void **state)
{
    (void)state;
    struct check_result r;
    struct diag diag;
    const double min = 0.9;
    assert_int_equal(run("echo acc 0.9 # {}", &min, 60, &r, &diag), STATUS_OK);
    assert_int_equal(r.verdict, CHECK_PASSED);
    assert_int_equal(run("echo 0.89 # {}", &min, 60, &r, &diag), STATUS_OK);
    assert_int_equal(r.verdict, CHECK_FAILED);
    assert_int_equal(run("echo nan # {}", &min, 60, &r, &diag), STATUS_OK);
    assert_int_equal(r.verdict, CHECK_FAILED);
    assert_int_equal(run("echo 0.99; exit 1 {}", &min, 60, &r, &diag),
                     STATUS_OK);
    assert_int_equal(r.verdict, CHECK_FAILED);
    assert_int_equal(run("echo fine # {}", &min, 60, &r, &diag), STATUS_USAGE);
    assert_non_null(strstr(diag.text, "no number"));
}

static void much_output_is_read_and_its_end_kept(void **state)
{
    (void)state;
    struct check_result r;
    struct diag diag;
    assert_int_equal(run("i=0; while [ $i -lt 20000 ]; do echo line $i; "
                         "i=$((i+1)); done; echo 0.25 # {}",
                         NULL, 60, &r, &diag),
                     STATUS_OK);
    assert_true(r.has_value && r.value == 0.25);
}

static void what_cannot_run_or_is_killed_is_an_error(void **state)
{
    (void)state;
    struct check_result r;
    struct diag diag;
    assert_int_equal(run("no-such-command {} 2>/dev/null", NULL, 60, &r, &diag),
                     STATUS_USAGE);
    assert_non_null(strstr(diag.text, "127"));
    assert_int_equal(run("exit 126 # {}", NULL, 60, &r, &diag), STATUS_USAGE);
    assert_int_equal(run("kill -SEGV $$ {}", NULL, 60, &r, &diag),
                     STATUS_USAGE);
    assert_non_null(strstr(diag.text, "signal 11"));
    assert_int_equal(
        run("sh -c 'kill -KILL $$' {}; exit $?", NULL, 60, &r, &diag),
        STATUS_USAGE);
    assert_non_null(strstr(diag.text, "signal 9"));
}

static void note_group(void *ctx, pid_t group)
{
    pid_t *groups = ctx;
    groups[group ? 0 : 1] = group ? group : 1;
}

/* Nobody of the group is left, but perhaps zombies that init has to bury. */
static bool group_is_gone(pid_t group)
{
    const struct timespec pause = {0, 10 * 1000 * 1000};
    for (int i = 0; i < 3000; i++) {
        if (kill(-group, 0) && errno == ESRCH)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static void time_limit_kills_the_whole_group(void **state)
{
    (void)state;
    struct check_result r;
    struct diag diag;
    pid_t groups[2] = {0, 0};
    const struct check_options options = {.command =
                                              "sleep 600 & sleep 600 # {}",
                                          .path = "x",
                                          .timeout_s = 1,
                                          .group = note_group,
                                          .ctx = groups};
    diag_reset(&diag);
    assert_int_equal(check_run(&options, &r, &diag), STATUS_TIMEOUT);
    assert_non_null(strstr(diag.text, "1 s"));
    assert_true(r.took_s >= 1 && r.took_s < 30);
    assert_true(groups[0] > 0 && groups[1]);
    assert_true(group_is_gone(groups[0]));
}

static void one_that_ignores_sigterm_is_killed(void **state)
{
    (void)state;
    struct check_result r;
    struct diag diag;
    assert_int_equal(
        run("trap '' TERM; while :; do sleep 1; done # {}", NULL, 1, &r, &diag),
        STATUS_TIMEOUT);
    assert_true(r.took_s < 30);
}

static void what_never_stops_writing_has_a_limit_too(void **state)
{
    (void)state;
    struct check_result r;
    struct diag diag;
    assert_int_equal(run("yes # {}", NULL, 1, &r, &diag), STATUS_TIMEOUT);
    assert_int_equal(run("yes & exit 3 # {}", NULL, 60, &r, &diag), STATUS_OK);
    assert_int_equal(r.exit, 3);
    assert_true(r.took_s < 30);
}

/* Dies where the group is told, as by a signal in just that moment. */
static void die(void *ctx, pid_t group)
{
    int *line = ctx;
    if (write(*line, &group, sizeof(group)) != (ssize_t)sizeof(group))
        _exit(1);
    raise(SIGKILL);
}

static void nothing_runs_before_its_group_is_known(void **state)
{
    (void)state;
    int line[2];
    pid_t group = 0;
    char path[] = "/tmp/deltamesh-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && !pipe(line));
    close(fd);
    pid_t pid = fork();
    if (!pid) {
        struct check_result r;
        const struct check_options options = {.command = "rm {}; sleep 600",
                                              .path = path,
                                              .timeout_s = 600,
                                              .group = die,
                                              .ctx = &line[1]};
        _exit(check_run(&options, &r, NULL) ? 1 : 0);
    }
    assert_int_equal(read(line[0], &group, sizeof(group)), sizeof(group));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(group_is_gone(group));
    assert_int_equal(unlink(path), 0); /* the command never ran */
    close(line[0]);
    close(line[1]);
}

/* As cron jobs and containers may inherit it. */
static void ignored_sigchld_is_no_harm(void **state)
{
    (void)state;
    struct check_result r;
    struct diag diag;
    signal(SIGCHLD, SIG_IGN);
    assert_int_equal(run("exit 5 # {}", NULL, 60, &r, &diag), STATUS_OK);
    assert_int_equal(r.exit, 5);
}

/* A child that holds the output open does not hold up the verdict. */
static void what_it_leaves_behind_is_ended(void **state)
{
    (void)state;
    struct check_result r;
    struct diag diag;
    assert_int_equal(run("sleep 600 & echo 0.5 # {}", NULL, 60, &r, &diag),
                     STATUS_OK);
    assert_int_equal(r.verdict, CHECK_PASSED);
    assert_true(r.value == 0.5 && r.took_s < 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_gets_the_path_at_every_mark),
        cmocka_unit_test(number_is_the_first_of_the_last_line_that_has_one),
        cmocka_unit_test(number_stands_alone),
        cmocka_unit_test(exit_status_is_the_verdict),
        cmocka_unit_test(least_value_counts_only_with_exit_status_0),
        cmocka_unit_test(much_output_is_read_and_its_end_kept),
        cmocka_unit_test(what_cannot_run_or_is_killed_is_an_error),
        cmocka_unit_test(time_limit_kills_the_whole_group),
        cmocka_unit_test(one_that_ignores_sigterm_is_killed),
        cmocka_unit_test(what_never_stops_writing_has_a_limit_too),
        cmocka_unit_test(what_it_leaves_behind_is_ended),
        cmocka_unit_test(nothing_runs_before_its_group_is_known),
        cmocka_unit_test(ignored_sigchld_is_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
