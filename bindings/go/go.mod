module procmgr

go 1.21
