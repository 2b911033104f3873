/* Keys of facts (struct rb_fact) that kinds report and the graph joins on. Two checks that report the same fact touch the same thing. */
#ifndef RUNBOOK_CHECK_FACTS_H
#define RUNBOOK_CHECK_FACTS_H

#define RB_FACT_TARGET      "target"  /* "host:port" that a probe connects to */
#define RB_FACT_ADDRESS     "address" /* "address:port" that the target's name led to */
#define RB_FACT_LISTEN      "listen"  /* "port" that something listens on */
#define RB_FACT_PID         "pid"
#define RB_FACT_OWNER       "owner" /* process name of a listener */
#define RB_FACT_CWD         "cwd"
#define RB_FACT_COMMAND     "command" /* command line of a listener's last owner, masked */
#define RB_FACT_CONTAINER   "container"
#define RB_FACT_SERVICE     "service"     /* "project/service" */
#define RB_FACT_PUBLISH     "publish"     /* host port that a container publishes */
#define RB_FACT_FILE        "file"        /* path relative to root */
#define RB_FACT_PATH        "path"        /* absolute path */
#define RB_FACT_PROGRAM     "program"     /* argv[0] as found */
#define RB_FACT_SCRAPES     "scrapes"     /* "host:port" that a Prometheus scrapes, with its job: "job host:port" */
#define RB_FACT_IMAGE       "image"       /* "project/service sha256:…" that a container runs */
#define RB_FACT_CONFIG_HASH "config_hash" /* "project/service hash" by which compose made a container */
#define RB_FACT_MOUNT       "mount"       /* file or folder mounted into a container */
#define RB_FACT_MOUNTED_AS  "mounted_as"  /* follows its mount: the path inside the container */
#define RB_FACT_NEEDS       "needs"       /* "project/service other": a service of the same project that this one cannot do without */

#endif
