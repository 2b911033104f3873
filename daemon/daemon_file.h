/* daemon.json in the state folder: who serves this root and where, for the CLI and for people. Present while the daemon runs. */
#ifndef RUNBOOKD_DAEMON_FILE_H
#define RUNBOOKD_DAEMON_FILE_H

struct rb_app;
void rb_daemon_file_write(const struct rb_app *app);
void rb_daemon_file_remove(const struct rb_app *app);

#endif
