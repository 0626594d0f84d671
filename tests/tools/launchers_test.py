#!/usr/bin/env python3
"""The templates of examples/ train the same model: launchers_test.py BINARY

Of the Kubernetes files the arguments and variables are taken as they stand, with what the cluster adds, and one
process is started for each pod. examples/mpi/train runs under mpirun, where there is one. examples/slurm/train.sbatch
runs with an srun that only starts processes; on a real Slurm tools/slurm_test runs it.
"""
import hashlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / 'examples'
BINARY = ''
TOO_LONG = 300  # seconds

# What makes a run small. Every process has one thread, so that the weights are the same to the bit.
SMALL = {'--model': 'ViT-Test', '--batch-size': '6', '--steps': '3'}
MORE = ['--vocab-size', '300', '--warmup', '0', '--threads', '1', '--workers', '1', '--report-pictures', '0',
        '--save-every', '1', '--seed', '3']

# As srun does: SLURM_NTASKS times the command; signals are passed on, and one failure ends all.
SRUN = '''#!/usr/bin/env python3
import os, signal, subprocess, sys
command = sys.argv[1:]
while command[0].startswith('--'):
    command.pop(0)
size = int(os.environ['SLURM_NTASKS'])
step = {'SLURM_STEP_NUM_TASKS': str(size), 'SLURM_STEP_NODELIST': '127.0.0.1', 'SLURM_STEP_ID': '0', 'SLURM_NODEID': '0',
        'SLURM_STEP_TASKS_PER_NODE': str(size)}
tasks = [subprocess.Popen(command, env={**os.environ, **step, 'SLURM_PROCID': str(i), 'SLURM_LOCALID': str(i)})
         for i in range(size)]
signal.signal(signal.SIGUSR1, lambda number, frame: [task.send_signal(number) for task in tasks])
sys.exit(max(task.wait() for task in tasks))
'''
SCONTROL = '#!/bin/sh\necho "$*" >> "$SCONTROL_LOG"\n'


def free_port():
    with socket.socket() as one:
        one.bind(('127.0.0.1', 0))
        return str(one.getsockname()[1])


def environment(**more):
    """Without the variables of a launcher that this test may run under."""
    ours = re.compile(r'(RANK|WORLD_SIZE|LOCAL_|MASTER_|SLURM_|OMPI_|PMI_|PET_|JOB_COMPLETION)')
    return {**{name: value for name, value in os.environ.items() if not ours.match(name)}, **more}


def container_env(container):
    return {entry['name']: entry['value'] for entry in container.get('env', [])}


def documents(name):
    return {document['kind']: document for document in yaml.safe_load_all((EXAMPLES / 'kubernetes' / name).read_text())}


def volumes_fit(spec):
    """Every mount has its volume."""
    names = {volume['name'] for volume in spec['volumes']}
    return all(mount['name'] in names for mount in spec['containers'][0]['volumeMounts'])


class Launchers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix='opencloc-launchers-'))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        subprocess.run([BINARY, 'data', 'scenes', '--count', '24', '--size', '32', '--seed', '1', '--out',
                        cls.folder / 'shards'], check=True, capture_output=True)
        subprocess.run([BINARY, 'launch', '--processes', '2', '--', *cls.arguments('reference')], check=True,
                       capture_output=True, env=environment())
        cls.expected = cls.weights('reference')

    @classmethod
    def arguments(cls, run, template=('train', '--data', '', '--model', '', '--batch-size', '', '--steps', '', '--out', '')):
        """The template's, with the values of a small run."""
        values = {**SMALL, '--data': cls.folder / 'shards', '--out': cls.folder / run}
        template = [str(argument) for argument in template]
        for flag, value in values.items():
            template[template.index(flag) + 1] = str(value)
        return [*template, *MORE]

    @classmethod
    def weights(cls, run):
        return hashlib.sha256((cls.folder / run / 'model/open_clip_model.safetensors').read_bytes()).hexdigest()

    def run_pods(self, run, pods):
        """pods: (arguments, variables) each. All must end well, with the reference's weights."""
        started = [subprocess.Popen([BINARY, *self.arguments(run, arguments)], env=environment(**variables),
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                   for arguments, variables in pods]
        for pod in started:
            said, _ = pod.communicate(timeout=TOO_LONG)
            self.assertEqual(pod.returncode, 0, said)
        self.assertEqual(self.weights(run), self.expected)

    def run_indexed(self, run, job, first_pod):
        self.assertEqual(job['completionMode'], 'Indexed')
        self.assertEqual(job['parallelism'], job['completions'])
        spec = job['template']['spec']
        self.assertTrue(volumes_fit(spec))
        container = spec['containers'][0]
        variables = container_env(container)
        self.assertEqual(variables['WORLD_SIZE'], str(job['completions']))
        self.assertEqual(variables['MASTER_ADDR'], first_pod)
        self.assertEqual(container['command'], ['opencloc'])
        meet = {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': free_port()}
        self.run_pods(run, [(container['args'], {**variables, **meet, 'JOB_COMPLETION_INDEX': str(index)})
                            for index in range(job['completions'])])

    def test_indexed_job(self):
        both = documents('indexed_job.yaml')
        service, job = both['Service'], both['Job']
        pod = job['spec']['template']
        self.assertEqual(service['spec']['clusterIP'], 'None')
        self.assertEqual(pod['spec']['subdomain'], service['metadata']['name'])
        self.assertLessEqual(service['spec']['selector'].items(), pod['metadata']['labels'].items())
        self.run_indexed('indexed', job['spec'], f"{job['metadata']['name']}-0.{pod['spec']['subdomain']}")

    def test_jobset(self):
        jobset = documents('jobset.yaml')['JobSet']
        spec = jobset['spec']
        job = spec['replicatedJobs'][0]
        self.assertEqual(job['replicas'], 1)
        self.run_indexed('jobset', job['template']['spec'],
                         f"{jobset['metadata']['name']}-{job['name']}-0-0.{spec['network']['subdomain']}")

    def test_pytorchjob(self):
        replicas = documents('pytorchjob.yaml')['PyTorchJob']['spec']['pytorchReplicaSpecs']
        pods = [replicas['Master']['template']] * replicas['Master']['replicas']
        pods += [replicas['Worker']['template']] * replicas['Worker']['replicas']
        meet = {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': free_port(), 'WORLD_SIZE': str(len(pods))}
        for pod in pods:
            self.assertTrue(volumes_fit(pod['spec']))
            self.assertEqual(pod['spec']['containers'][0]['name'], 'pytorch')
        self.run_pods('pytorchjob', [(pod['spec']['containers'][0]['args'],
                                      {**container_env(pod['spec']['containers'][0]), **meet, 'RANK': str(rank)})
                                     for rank, pod in enumerate(pods)])

    def test_trainjob(self):
        spec = documents('trainjob.yaml')['TrainJob']['spec']
        self.assertTrue(volumes_fit(spec['podTemplateOverrides'][0]['spec']))
        trainer = spec['trainer']
        told = {'PET_NNODES': str(trainer['numNodes']), 'PET_NPROC_PER_NODE': str(trainer['numProcPerNode']),
                'PET_MASTER_ADDR': 'localhost', 'PET_MASTER_PORT': free_port()}
        self.run_pods('trainjob', [(trainer['args'], {**told, 'PET_NODE_RANK': str(node)})
                                   for node in range(trainer['numNodes'])])

    @unittest.skipUnless(shutil.which('mpirun'), 'no mpirun here')
    def test_mpi(self):
        mpirun = 'mpirun --allow-run-as-root --oversubscribe --bind-to none'
        for run, more in (('mpi', {}), ('mpi-hosts', {'HOSTS': 'localhost:2', 'PORT': free_port()})):
            done = subprocess.run([EXAMPLES / 'mpi/train', *self.arguments(run)[1:]], capture_output=True, text=True,
                                  timeout=TOO_LONG, env=environment(OPENCLOC=BINARY, MPIRUN=mpirun, **more))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(self.weights(run), self.expected)

    def slurm_job(self, arguments):
        """train.sbatch as a job of two tasks; the log of what it asked scontrol for."""
        bin_folder = self.folder / 'bin'
        bin_folder.mkdir(exist_ok=True)
        for name, text in (('srun', SRUN), ('scontrol', SCONTROL)):
            (bin_folder / name).write_text(text)
            (bin_folder / name).chmod(0o755)
        log = self.folder / 'scontrol.log'
        log.write_text('')
        job = environment(PATH=f"{bin_folder}:{os.environ['PATH']}", OPENCLOC=BINARY, SCONTROL_LOG=str(log),
                          SLURM_NTASKS='2', SLURM_CPUS_PER_TASK='1', SLURM_JOB_ID=str(os.getpid()))
        return subprocess.Popen([EXAMPLES / 'slurm/train.sbatch', *arguments], env=job, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True), log

    def test_slurm(self):
        arguments = self.arguments('slurm')
        at = arguments.index('--threads')  # the script gives it
        job, log = self.slurm_job(arguments[1:at] + arguments[at + 2:])
        said, _ = job.communicate(timeout=TOO_LONG)
        self.assertEqual(job.returncode, 0, said)
        self.assertEqual(self.weights('slurm'), self.expected)
        self.assertEqual(log.read_text(), '')

    def test_slurm_before_the_time_limit(self):
        arguments = self.arguments('limit')
        arguments[arguments.index('--steps') + 1] = '1000000'
        at = arguments.index('--threads')
        job, log = self.slurm_job(arguments[1:at] + arguments[at + 2:])
        until = time.monotonic() + TOO_LONG
        while not (self.folder / 'limit/checkpoints/step-1').exists() and time.monotonic() < until:
            self.assertIsNone(job.poll())
            time.sleep(0.02)
        job.send_signal(signal.SIGUSR1)
        said, _ = job.communicate(timeout=TOO_LONG)
        self.assertEqual(job.returncode, 1, said)
        self.assertIn('stopped by a signal', said)
        self.assertEqual(log.read_text(), f'requeue {os.getpid()}\n')

    def test_slurm_after_an_error(self):
        job, log = self.slurm_job(['--data', 'nothing/*.tar', '--model', 'ViT-Test', '--steps', '1', '--out',
                                   str(self.folder / 'error')])
        said, _ = job.communicate(timeout=TOO_LONG)
        self.assertEqual(job.returncode, 2, said)
        self.assertEqual(log.read_text(), '')


if __name__ == '__main__':
    if 'OPENCLOC_GLOO_OUT_OF_SIGHT' in os.environ:  # as tests/cli do: dist_test looks at what goes over Gloo
        print('skipped: ThreadSanitizer does not see the locks of libtorch, through which Gloo hands over its results')
        sys.exit(77)
    BINARY = sys.argv.pop(1)
    unittest.main()
