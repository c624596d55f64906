# bash completion of `perfvec`. The command itself knows its options and asks
# the server for names (with a short timeout); see client/cli/complete_command.cc.

_perfvec() {
  # bash cuts words at '=', ':' and '@', which names here contain: cut the line
  # at blanks instead, and take from the proposals what bash has cut off.
  local line=${COMP_LINE:0:COMP_POINT} words=() word cut=
  read -ra words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  word=${words[-1]}
  case $word in
    *[=:@]*)
      local last=${word##*[=:@]}
      cut=${word%"$last"}
      ;;
  esac
  COMPREPLY=()
  local proposal
  while IFS= read -r proposal; do
    case $proposal in
      @file)
        compopt -o filenames 2> /dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "${word#"$cut"}")
        return
        ;;
      @dir)
        compopt -o filenames 2> /dev/null
        mapfile -t COMPREPLY < <(compgen -d -- "${word#"$cut"}")
        return
        ;;
      *) COMPREPLY+=("${proposal#"$cut"}") ;;
    esac
  done < <("${words[0]}" __complete "${words[@]:1}" 2> /dev/null)
}
complete -F _perfvec perfvec
