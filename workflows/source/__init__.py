"""One description for each job; `workflows()` of every module here gives its workflows."""
