import com.typesafe.config.ConfigFactory;
import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.atomic.LongAdder;
import org.apache.pekko.actor.ActorRef;
import org.apache.pekko.actor.ActorSystem;
import org.apache.pekko.actor.Props;
import org.apache.pekko.actor.UntypedAbstractActor;

/**
 * The twin update of `benchmarks/twins.py` as Pekko actors and as plain arrays: each device reports once a round, in
 * random order; a reading counts when its device has taken it. Arguments: devices, rounds, threads of the dispatcher.
 * Prints one JSON object: updates per second of processor time (median of the rounds, the first two left out) and bytes per actor.
 */
public final class Twins {
  private static final long NOW_US = 1_770_000_000_000_000L;
  private static final OperatingSystemMXBean OS =
      (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
  private static final LongAdder TAKEN = new LongAdder();

  record Reading(long seq, long timeUs, double energyKwh, float powerKw, float limitKw) {}

  /** A device: the newest reading wins. */
  static final class Device extends UntypedAbstractActor {
    private long seq = -1;
    private long timeUs;
    private double energyKwh;
    private float powerKw;
    private float limitKw;

    @Override
    public void onReceive(Object message) {
      Reading reading = (Reading) message;
      if (reading.seq > seq) {
        seq = reading.seq;
        timeUs = reading.timeUs;
        energyKwh = reading.energyKwh;
        powerKw = reading.powerKw;
        limitKw = reading.limitKw;
        TAKEN.increment();
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    int devices = Integer.parseInt(arguments[0]);
    int rounds = Integer.parseInt(arguments[1]);
    int threads = Integer.parseInt(arguments[2]);
    int[] order = shuffled(devices);
    double arrays = arrays(order, rounds);
    long before = used();
    ActorSystem system = ActorSystem.create("twins", ConfigFactory.parseString(settings(threads)));
    ActorRef[] actors = new ActorRef[devices];
    for (int device = 0; device < devices; device++) {
      actors[device] = system.actorOf(Props.create(Device.class, Device::new));
    }
    double actorsPerS = actors(actors, order, rounds);
    long bytes = (used() - before) / devices;
    System.out.printf(
        "{\"actors_per_s\": %.1f, \"arrays_per_s\": %.1f, \"bytes_per_actor\": %d}%n", actorsPerS, arrays, bytes);
    System.exit(0);
  }

  /** The fork-join dispatcher with the mailbox for a single consumer, the fastest that Pekko has. */
  private static String settings(int threads) {
    return "pekko.log-dead-letters = off\n"
        + "pekko.actor.default-dispatcher {\n"
        + "  throughput = 64\n"
        + "  fork-join-executor { parallelism-min = " + threads + ", parallelism-max = " + threads + " }\n"
        + "}\n"
        + "pekko.actor.default-mailbox.mailbox-type = "
        + "\"org.apache.pekko.dispatch.SingleConsumerOnlyUnboundedMailbox\"\n";
  }

  private static double actors(ActorRef[] actors, int[] order, int rounds) throws InterruptedException {
    double[] perSecond = new double[rounds];
    for (int round = 0; round < rounds; round++) {
      TAKEN.reset();
      long start = OS.getProcessCpuTime();
      for (int device : order) {
        actors[device].tell(new Reading(round, NOW_US, device, 1.5f, 5f), ActorRef.noSender());
      }
      while (TAKEN.sum() < order.length) {
        Thread.sleep(0, 100_000);
      }
      perSecond[round] = order.length / ((OS.getProcessCpuTime() - start) / 1e9);
    }
    return median(perSecond);
  }

  /** What any runtime of this machine could reach: the same fields in arrays, in one loop. */
  private static double arrays(int[] order, int rounds) {
    int devices = order.length;
    long[] seq = new long[devices];
    long[] timeUs = new long[devices];
    double[] energyKwh = new double[devices];
    float[] powerKw = new float[devices];
    float[] limitKw = new float[devices];
    Arrays.fill(seq, -1);
    double[] perSecond = new double[rounds];
    for (int round = 0; round < rounds; round++) {
      long start = OS.getProcessCpuTime();
      int taken = 0;
      for (int device : order) {
        if (round > seq[device]) {
          seq[device] = round;
          timeUs[device] = NOW_US;
          energyKwh[device] = device;
          powerKw[device] = 1.5f;
          limitKw[device] = 5f;
          taken++;
        }
      }
      perSecond[round] = taken / ((OS.getProcessCpuTime() - start) / 1e9);
      if (taken != devices || timeUs[order[0]] != NOW_US || energyKwh[order[0]] != order[0]) {
        throw new IllegalStateException("only " + taken + " readings were applied");
      }
    }
    return median(perSecond);
  }

  private static int[] shuffled(int devices) {
    int[] order = new int[devices];
    Random chance = new Random(1);
    for (int at = 0; at < devices; at++) {
      int other = chance.nextInt(at + 1);
      order[at] = order[other];
      order[other] = at;
    }
    return order;
  }

  private static double median(double[] perSecond) {
    double[] warm = Arrays.copyOfRange(perSecond, 2, perSecond.length);
    Arrays.sort(warm);
    return warm[warm.length / 2];
  }

  private static long used() throws InterruptedException {
    Runtime runtime = Runtime.getRuntime();
    for (int turn = 0; turn < 3; turn++) {
      System.gc();
      Thread.sleep(50);
    }
    return runtime.totalMemory() - runtime.freeMemory();
  }
}
