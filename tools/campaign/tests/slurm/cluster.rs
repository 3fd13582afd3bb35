//! A Slurm of one node, private to its owner: munged, slurmctld and slurmd in a folder of their
//! own, on ports of their own, ended by their process ids.
use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use xtask::{interrupt, setup, workspace};

/// A daemon that is not ready, or not gone, after this never will be.
const DAEMON_BOUND: Duration = Duration::from_secs(60);
/// The same for an array of jobs.
const ARRAY_BOUND: Duration = Duration::from_secs(600);

/// A Slurm that runs.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    /// In the order in which they were started.
    daemons: Vec<(&'static str, Child)>,
}

impl Cluster {
    /// Starts one, installed if it is missing, and waits until its node takes jobs.
    ///
    /// # Panics
    /// If it cannot be installed, or does not start; its logs are then printed.
    pub fn start() -> Self {
        setup::ensure_slurm().unwrap_or_else(|error| panic!("{error}"));
        interrupt::catch().unwrap();
        // Not in the target folder: the path of a socket has 107 bytes at the most.
        let name = format!("tern-slurm-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        for part in ["", "munge", "run", "state", "spool", "log"] {
            // Munged wants its key's folder for its owner alone, and others to reach its socket.
            let mode = if part == "munge" { 0o700 } else { 0o755 };
            let part = folder.join(part);
            fs::create_dir_all(&part).unwrap();
            fs::set_permissions(&part, Permissions::from_mode(mode)).unwrap();
        }
        let mut key = vec![0; 1024];
        draw_key(&mut key);
        fs::write(folder.join("munge/key"), key).unwrap();
        fs::set_permissions(folder.join("munge/key"), Permissions::from_mode(0o400)).unwrap();
        fs::write(folder.join("slurm.conf"), configuration(&folder)).unwrap();

        let mut cluster = Self {
            folder,
            daemons: Vec::new(),
        };
        let of = |name: &str| cluster.folder.join(name).display().to_string();
        let munged = [
            "--foreground".into(),
            format!("--key-file={}", of("munge/key")),
            format!("--seed-file={}", of("munge/seed")),
            format!("--socket={}", of("run/munge.socket")),
            format!("--pid-file={}", of("run/munged.pid")),
            format!("--log-file={}", of("log/munged.log")),
        ];
        cluster.daemon("munged", &munged);
        cluster.wait("munged's socket", |it| {
            it.folder.join("run/munge.socket").exists()
        });
        cluster.daemon("slurmctld", &["-D".into(), "-c".into()]);
        cluster.daemon("slurmd", &["-D".into()]);
        cluster.wait("an idle node", |it| {
            said(&it.ask("sinfo", &["--noheader", "--format=%T"])) == "idle"
        });
        cluster
    }

    /// Submits the campaign's script as an array of jobs; returns what each task has printed.
    ///
    /// # Panics
    /// If a task fails, or Slurm does.
    pub fn run_array(&self, array: &str, arguments: &[&str]) -> Vec<String> {
        let pattern = self.folder.join("log/task-%a.txt");
        let mut command = self.command("sbatch");
        command
            .args(["--parsable", "--wait"])
            .arg(format!("--array={array}"))
            .arg(format!("--output={}", pattern.display()))
            .arg("tools/campaign/campaign.sbatch")
            .args(arguments)
            .stdout(Stdio::piped());
        let mut submitted = command.spawn().unwrap();
        let ended = wait_for(ARRAY_BOUND, || submitted.try_wait().unwrap());
        let status = ended.unwrap_or_else(|| {
            let _ = submitted.kill();
            panic!("the array is not at its end after {ARRAY_BOUND:?}")
        });
        let tasks = (1..).map(|task| self.folder.join(format!("log/task-{task}.txt")));
        let tasks = tasks.map_while(|file| fs::read_to_string(file).ok());
        let tasks: Vec<String> = tasks.collect();
        assert!(status.success(), "{status}\n{}", tasks.join("\n"));
        tasks
    }

    fn daemon(&mut self, program: &'static str, arguments: &[String]) {
        let said = File::create(self.folder.join(format!("log/{program}.said"))).unwrap();
        let mut command = self.command(program);
        // Ctrl-C is for their owner alone, who needs them to end their jobs.
        command.process_group(0);
        command.args(arguments).stdin(Stdio::null());
        command.stdout(said.try_clone().unwrap()).stderr(said);
        let started = command.spawn();
        let started = started.unwrap_or_else(|error| panic!("starting {program}: {error}"));
        self.daemons.push((program, started));
    }

    /// Waits for what a daemon has to do; panics if one ends.
    fn wait(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let outcome = wait_for(DAEMON_BOUND, || {
            interrupt::check().unwrap();
            let mut daemons = self.daemons.iter_mut();
            let ended = daemons.find_map(|(name, child)| {
                let status = child.try_wait().unwrap()?;
                Some(format!("{name} has ended ({status})"))
            });
            ended.map(Err).or_else(|| is_so(self).then_some(Ok(())))
        });
        let failed = match outcome {
            Some(Ok(())) => return,
            Some(Err(ended)) => ended,
            None => format!("nothing after {DAEMON_BOUND:?}"),
        };
        panic!("waiting for {what}: {failed}\n{}", self.logs());
    }

    fn logs(&self) -> String {
        let files = fs::read_dir(self.folder.join("log")).into_iter().flatten();
        let texts = files.flatten().map(|file| {
            let text = fs::read_to_string(file.path()).unwrap_or_default();
            format!("{}:\n{text}", file.path().display())
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    fn command(&self, program: &str) -> Command {
        let found = setup::find_daemon(program);
        let mut command = Command::new(found.unwrap_or_else(|| program.into()));
        command.env("SLURM_CONF", self.folder.join("slurm.conf"));
        command.current_dir(workspace::root());
        command
    }

    fn ask(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program).args(arguments).output().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Its jobs first: they are no children of the daemons.
        self.ask("scancel", &["--me"]);
        let jobs = || self.ask("squeue", &["--noheader"]);
        let gone = wait_for(DAEMON_BOUND, || said(&jobs()).is_empty().then_some(()));
        if gone.is_none() {
            eprintln!("jobs are left:\n{}", said(&jobs()));
        }
        while let Some((name, mut child)) = self.daemons.pop() {
            let ended = Command::new("kill").arg(child.id().to_string()).status();
            let gone = wait_for(DAEMON_BOUND, || child.try_wait().ok().flatten());
            if gone.is_none() {
                eprintln!("{name} does not end when asked to ({ended:?})");
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    let host = said(&Command::new("uname").arg("-n").output().unwrap());
    let host = host.split('.').next().unwrap_or_default();
    let user = said(&Command::new("id").arg("-un").output().unwrap());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let [control, node] = free_ports();
    format!(
        "ClusterName=tern
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,batch_sched_delay=0
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"
    )
}

/// Two ports that nobody listens at.
fn free_ports() -> [u16; 2] {
    let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn draw_key(bytes: &mut [u8]) {
    use std::io::Read;
    let mut source = File::open("/dev/urandom").unwrap();
    source.read_exact(bytes).unwrap();
}

/// What a program has printed, without the last line's end.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().into()
}

/// Asks again and again until there is an answer; none within the bound.
fn wait_for<T>(bound: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        let answer = ask();
        if answer.is_some() || begin.elapsed() > bound {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
