package procmgr

// #include <procmgr.h>
import "C"

import "time"

// A Config says how a manager works. The zero Config is all defaults; where zero could be meant, the field says how to
// ask for it.
type Config struct {
	// Shell runs commands, as Shell -c COMMAND. Default: /bin/sh.
	Shell string

	// Dir is where requests without a directory run, if it is a directory then; else that is the home directory ($HOME,
	// then the password database), else the host's own.
	Dir string

	// Env is the environment that every process gets to begin with, in the form NAME=value, of which the last of a name
	// counts. If it is nil, that is the host's as it is when the manager is opened: what os.Setenv changes after that is for
	// Request.Env.
	Env []string

	// OwnerVariable is the variable in which a process finds its owner. Default: none.
	OwnerVariable string

	// HeadBytes is how many bytes at the beginning of each stream are kept, up to 1 GiB. Default: 16,384; negative: none.
	HeadBytes int

	// TailBytes is how many bytes at the end of each stream are kept, from 1 to 1 GiB. Default: 16,384.
	TailBytes int

	// MaxLineBytes is the longest line in the text of [Process.Output]. Default: 2,048; negative: no limit.
	MaxLineBytes int

	// MaxProcesses is how many processes may live at once; one lives while its leader runs or its output is open.
	// Default: 1,024.
	MaxProcesses int

	// MaxEnded is how many ended processes are kept; the oldest are dropped first. Default: 1,024; negative: none.
	MaxEnded int

	// KeepEnded is how long an ended process is kept. Default: 5 minutes; negative: for ever.
	KeepEnded time.Duration

	// StopGrace is the time between TERM and KILL when the time limit of a request expires. Default: 5 seconds;
	// negative: KILL is never sent.
	StopGrace time.Duration

	// CloseGrace is the time between TERM and KILL when the manager or a scope is closed. Default: none, KILL is sent at
	// once; negative: KILL is never sent.
	CloseGrace time.Duration
}

// build makes the library's options; the caller gives them back.
func (c *Config) build() (config C.mgr_config_t, err error) {
	const op = "open"
	if code, cause := C.mgr_config_new(&config); code < 0 {
		return 0, failure(op, "", code, cause)
	}
	defer func() {
		if err != nil {
			C.mgr_config_free(config)
		}
	}()
	check := func(code C.int32_t) {
		if err == nil {
			err = failure(op, "", code, nil)
		}
	}
	text := func(what, value string, set func(*C.char) C.int32_t) {
		if err == nil && value != "" {
			err = withText(op, what, value, set)
		}
	}
	text("shell", c.Shell, func(shell *C.char) C.int32_t { return C.mgr_config_shell(config, shell) })
	text("directory", c.Dir, func(dir *C.char) C.int32_t { return C.mgr_config_directory(config, dir) })
	text("owner variable", c.OwnerVariable, func(name *C.char) C.int32_t {
		return C.mgr_config_owner_variable(config, name)
	})
	if c.Env != nil {
		check(C.mgr_config_clear_environment(config))
	}
	for _, variable := range c.Env {
		if err != nil {
			break
		}
		err = withVariable(op, variable, func(name, value *C.char) C.int32_t {
			return C.mgr_config_variable(config, name, value)
		})
	}
	if c.HeadBytes != 0 {
		check(C.mgr_config_head_bytes(config, size(c.HeadBytes)))
	}
	if c.TailBytes != 0 {
		// A negative number is none, which is refused.
		check(C.mgr_config_tail_bytes(config, size(c.TailBytes)))
	}
	if c.MaxLineBytes != 0 {
		check(C.mgr_config_max_line_bytes(config, size(c.MaxLineBytes)))
	}
	if c.MaxProcesses != 0 {
		check(C.mgr_config_max_processes(config, size(c.MaxProcesses)))
	}
	if c.MaxEnded != 0 {
		check(C.mgr_config_max_ended(config, size(c.MaxEnded)))
	}
	if c.KeepEnded != 0 {
		check(C.mgr_config_keep_ended_ms(config, milliseconds(c.KeepEnded)))
	}
	if c.StopGrace != 0 {
		check(C.mgr_config_stop_grace_ms(config, milliseconds(c.StopGrace)))
	}
	if c.CloseGrace != 0 {
		check(C.mgr_config_close_grace_ms(config, milliseconds(c.CloseGrace)))
	}
	return config, err
}

// size takes a negative number for none.
func size(count int) C.size_t {
	if count < 0 {
		return 0
	}
	return C.size_t(count)
}
