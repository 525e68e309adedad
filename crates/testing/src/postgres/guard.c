/* A PostgreSQL module for tests that refuses SCRAM verifiers: in the statement, as credcheck does, or at its commit, as Neon and Lakebase do. Must only be
   loaded into servers of tests. */
#include "postgres.h"

#include "access/xact.h"
#include "commands/user.h"
#include "fmgr.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

static bool at_commit = false;
static bool refused = false;

static void
check(const char *name, const char *password, PasswordType type, Datum until, bool for_ever)
{
	/* The admin was there before. */
	if (type == PASSWORD_TYPE_PLAINTEXT || strcmp(name, "dailycare_admin") == 0)
		return;
	if (!at_commit)
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION), errmsg("password type is not a plain text")));
	refused = true;
}

static void
ended(XactEvent event, void *unused)
{
	bool		now = refused;

	refused = false;
	if (now && event == XACT_EVENT_PRE_COMMIT)
		elog(ERROR, "Received HTTP code 400 from control plane: only plaintext passwords are supported");
}

void
_PG_init(void)
{
	DefineCustomBoolVariable("guard.at_commit", "Refuse at the commit.", NULL, &at_commit, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	check_password_hook = check;
	RegisterXactCallback(ended, NULL);
}
