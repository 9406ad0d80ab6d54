# bash completion of headend-agent: commands, and flags as each command's --help lists them.
_headend_agent() {
	local cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}
	COMPREPLY=()
	case $cur in
	--*=*) return ;;
	-*)
		case $command in -* | '') command=run ;; esac
		local flags
		flags=$(headend-agent "$command" --help 2>&1 | sed -n 's/^  \(--[a-z.-]*\).*/\1=/p')
		mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$cur")
		compopt -o nospace
		;;
	*)
		[ "$COMP_CWORD" -eq 1 ] &&
			mapfile -t COMPREPLY < <(compgen -W "$(headend-agent --help | sed -n 's/^  \([a-z-]*\).*/\1/p')" -- "$cur")
		;;
	esac
}
complete -F _headend_agent headend-agent
