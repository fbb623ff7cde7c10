/* SPDX-License-Identifier: BSD-3-Clause */
#include "front/connfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "protocol/limits.h"

/* Jupyter's runtime directory, as jupyter_core finds it. */
static int
runtime_dir(struct buf *out, struct err *e)
{
	const char *runtime = getenv("JUPYTER_RUNTIME_DIR");
	const char *data = getenv("JUPYTER_DATA_DIR");
	const char *xdg = getenv("XDG_DATA_HOME");
	const char *home = getenv("HOME");
	if (runtime != NULL && *runtime != '\0')
		buf_appendf(out, "%s", runtime);
	else if (data != NULL && *data != '\0')
		buf_appendf(out, "%s/runtime", data);
	else if (xdg != NULL && *xdg != '\0')
		buf_appendf(out, "%s/jupyter/runtime", xdg);
	else if (home != NULL && *home != '\0')
		buf_appendf(out, "%s/.local/share/jupyter/runtime", home);
	else
		return err_set(e, ERR_INVALID, "no connection file given and HOME is not set");
	return out->failed ? err_memory(e) : 0;
}

static int
make_dirs(char *path, struct err *e)
{
	for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		int failed = mkdir(path, 0700) < 0 && errno != EEXIST;
		*slash = '/';
		if (failed)
			return err_system(e, "cannot make the directory of %.120s", path);
	}
	return 0;
}

static char *
absolute(const char *path, struct err *e)
{
	if (path[0] == '/')
		return strdup(path);
	char cwd[PATH_MAX];
	char *result = NULL;
	if (getcwd(cwd, sizeof cwd) == NULL) {
		err_system(e, "cannot tell where the connection file %.120s is: no current directory", path);
		return NULL;
	}
	return asprintf(&result, "%s/%s", cwd, path) < 0 ? NULL : result;
}

/* Where the file is, or where it is to be made. Owned; NULL with *e set. */
static char *
locate(const char *name, bool *ret_runtime, struct err *e)
{
	BUF_AUTO path = BUF_INIT;
	char *result = NULL;
	bool bare = name == NULL || strchr(name, '/') == NULL;
	*ret_runtime = bare && (name == NULL || access(name, F_OK) < 0);
	if (!*ret_runtime) {
		result = absolute(name, e);
	} else {
		if (runtime_dir(&path, e) < 0)
			return NULL;
		if (name != NULL)
			buf_appendf(&path, "/%s", name);
		else
			buf_appendf(&path, "/kernel-%ld.json", (long)getpid());
		result = path.failed ? NULL : strndup(path.data, path.size);
	}
	if (result == NULL)
		err_memory(e);
	return result;
}

static int
read_file(const char *path, struct buf *out, struct err *e)
{
	FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_system(e, "cannot read the connection file %.120s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "the connection file %.120s is not a file", path);
	if (st.st_uid != geteuid() && geteuid() != 0)
		return err_set(e, ERR_INVALID, "the connection file %.120s belongs to another user", path);
	if (st.st_size > (off_t)LIMIT_CONNECTION_FILE_SIZE)
		return err_set(e, ERR_LIMIT, "the connection file %.120s is larger than %u bytes", path,
			       LIMIT_CONNECTION_FILE_SIZE);
	if (buf_reserve(out, (size_t)st.st_size + 1) < 0)
		return err_memory(e);
	ssize_t n = read(fd, out->data, (size_t)st.st_size);
	if (n < 0)
		return err_system(e, "cannot read the connection file %.120s", path);
	out->size = (size_t)n;
	return 0;
}

/* A fresh key for a file that we make: 128 random bits as hex, like Jupyter's. */
static int
make_key(struct connection *c, struct err *e)
{
	unsigned char bits[16];
	if (getrandom(bits, sizeof bits, 0) != (ssize_t)sizeof bits)
		return err_system(e, "getrandom");
	char *key = malloc(2 * sizeof bits + 1);
	if (key == NULL)
		return err_memory(e);
	for (size_t i = 0; i < sizeof bits; i++)
		snprintf(key + 2 * i, 3, "%02x", bits[i]);
	free(c->key);
	c->key = key;
	c->key_size = 2 * sizeof bits;
	return 0;
}

int
connfile_open(const char *name, struct connfile *ret, struct connection *ret_connection, struct err *e)
{
	struct connfile f = { .path = NULL };
	f.path = locate(name, &f.ours, e);
	if (f.path == NULL)
		return -1;
	f.existed = access(f.path, F_OK) == 0;
	int result;
	BUF_AUTO bytes = BUF_INIT;
	if (f.existed) {
		result = read_file(f.path, &bytes, e);
		if (result == 0 && connection_parse(bytes.data, bytes.size, ret_connection, e) < 0) {
			struct err cause = *e;
			*e = ERR_INIT;
			result = err_set(e, cause.code, "the connection file %.100s: %.120s", f.path, cause.text);
		}
		if (bytes.data != NULL)
			explicit_bzero(bytes.data, bytes.capacity);
	} else {
		result = connection_init(ret_connection, e);
		if (result == 0 && make_key(ret_connection, e) < 0) {
			connection_free(ret_connection);
			result = -1;
		}
	}
	if (result < 0) {
		free(f.path);
		return -1;
	}
	*ret = f;
	return 0;
}

int
connfile_write(const struct connfile *f, const struct connection *c, bool changed, struct err *e)
{
	if (f->existed && !changed)
		return 0;
	BUF_AUTO bytes = BUF_INIT;
	BUF_AUTO temporary = BUF_INIT;
	connection_write(c, &bytes);
	buf_appendf(&temporary, "%s.%ld", f->path, (long)getpid());
	buf_append(&temporary, "", 1);
	if (bytes.failed || temporary.failed)
		return err_memory(e);
	if (!f->existed && f->ours && make_dirs(f->path, e) < 0)
		return -1;
	FD_AUTO fd = open(temporary.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_system(e, "cannot write the connection file %.120s", f->path);
	struct err cause = ERR_INIT; /* the sentence names the file, not its descriptor */
	if (fd_write_all(fd, bytes.data, bytes.size, &cause) < 0 || rename(temporary.data, f->path) < 0) {
		err_system(e, "cannot write the connection file %.120s", f->path);
		unlink(temporary.data);
		return -1;
	}
	return 0;
}

void
connfile_close(struct connfile *f)
{
	if (f->path != NULL && !f->existed)
		unlink(f->path);
	free(f->path);
	f->path = NULL;
}
