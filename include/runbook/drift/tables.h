/* Option tables of sources that take a mapping (sources.def). */
#ifndef RUNBOOK_DRIFT_TABLES_H
#define RUNBOOK_DRIFT_TABLES_H

#include "runbook/config/options.h"

#define RB_DRIFT_NO_TABLE NULL

#endif
