# The rules that come with tflint, all of them: no plug-in is downloaded.
plugin "terraform" {
  enabled = true
  preset  = "all"
}
